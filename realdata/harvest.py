"""Harvesting: run a model over a text once, and cache its activations at one site on disk.

First the text is packed into contexts of token ids, which are saved. Then the model reads the
contexts, and the activations are saved shard by shard. After a kill, the same call continues after
the last shard. Memory: the model, three times `SHARD_BYTES`, and about 20 bytes for each token.
"""

import json
import time
from contextlib import suppress
from dataclasses import asdict
from functools import cached_property
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from realdata import hub, packing, text
from realdata.cache import SPLITS, Folder
from realdata.model import LanguageModel
from realdata.tokenizer import Tokenizer
from synthsae import progress
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig
from synthsae.machine import threads
from synthsae.progress import Count

SHARD_BYTES = 2**26
"""Largest size of a shard."""
COUNTS = "text.json"
"""The file of a harvest with the counts of its text."""
VERSIONS = ("synthsae", "torch", "transformers", "transformer-lens")


def harvest(source: SourceConfig) -> Folder:
    """The folder of the finished harvest of `source`, harvested where it is not cached.

    Reports how much it will write before it starts.

    Raises:
        ConfigError: the harvest exceeds `source.cache_limit` or the free space of the disk, or the
            model or the text cannot be used.
    """
    folder = Folder(source)
    if folder.manifest() is None:
        with folder.hold():
            if folder.manifest() is None:  # no other process made it while this one waited
                with threads(source.threads):
                    _Harvest(source, folder).run()
    return folder


class _Harvest:
    """A harvest that is not finished."""

    def __init__(self, source: SourceConfig, folder: Folder):
        self.source, self.folder = source, folder
        self.width = {"float32": 4, "bfloat16": 2}[source.dtype] * hub.facts(source.model).d_model
        context = source.batch * source.context * self.width
        self.per_shard = max(1, SHARD_BYTES // context) * source.batch

    @cached_property
    def model(self) -> LanguageModel:
        return LanguageModel(self.source)

    def run(self) -> None:
        began = time.perf_counter()
        s = self.source
        what = f"harvest: {s.tokens:,} activations of {s.model}, {s.hook} {s.layer}"
        self.folder.announce(what, s.tokens * (self.width + 16))
        manifest: dict[str, Any] = {"source": asdict(self.source), "identity": self.folder.identity}
        with progress.bar("text", s.tokens, "tokens") as count:
            splits = self._contexts(count)
        manifest["text"] = self._text_counts()
        manifest["causal"] = self._causal(splits["train"][0][0])
        with progress.bar(f"{s.hook} {s.layer}", s.tokens, "tokens") as count:
            for split, (tokens, positions) in splits.items():
                self._shards(split, tokens, positions, count)
                manifest[split] = {"contexts": len(tokens), "rows": len(positions)}
        manifest["versions"] = {name: version(name) for name in VERSIONS}
        manifest["seconds"] = time.perf_counter() - began
        self.folder.save("manifest.json", json.dumps(manifest, indent=1).encode())

    def _contexts(self, count: Count) -> dict[str, packing.Packed]:
        """The contexts and positions of each split, packed and saved where they are not yet."""
        names = {split: (f"{split}-tokens.npy", f"{split}-positions.npy") for split in SPLITS}
        saved = {s: (self.folder.load(t), self.folder.load(p)) for s, (t, p) in names.items()}
        complete = {s: (t, p) for s, (t, p) in saved.items() if t is not None and p is not None}
        if len(complete) == len(names) and self._text_counts():
            count(self.source.tokens)
            return complete
        revision = "" if text.local(self.source) else hub.revision(self.source.text)
        documents = text.Documents(self.source, revision)
        counts = TextCounts(documents, self.model.tokens, count)
        packed = packing.pack(documents, self.model.encode, self.model.bos, self.source, counts)
        documents.check_bad_rows()
        if unusual := notable(counts.found):
            progress.say(f"text: {unusual}")
        for split, (tokens, positions) in names.items():
            self.folder.save(tokens, packed[split][0])
            self.folder.save(positions, packed[split][1])
        self.folder.save(COUNTS, json.dumps(counts.found, indent=1).encode())
        return packed

    def _text_counts(self) -> dict[str, Any]:
        """The counts of the text; empty where it is not packed yet."""
        with suppress(OSError, ValueError):
            return json.loads((self.folder.path / COUNTS).read_text())
        return {}

    def _causal(self, context: NDArray) -> bool:
        """Whether no activation depends on a later token; warns where one does."""
        causal = self.model.causal(torch.from_numpy(np.array(context)))
        if not causal:
            progress.say(
                f"warning: {self.source.model} is not causal: the activations of a token depend on "
                "later tokens"
            )
        return causal

    def _shards(self, split: str, tokens: NDArray, positions: NDArray, count: Count) -> None:
        """Write the missing shards of a split."""
        for number, start in enumerate(range(0, len(tokens), self.per_shard)):
            stop = min(start + self.per_shard, len(tokens))
            edges = np.searchsorted(positions, [start * tokens.shape[1], stop * tokens.shape[1]])
            if self.folder.has_shard(split, number):
                count(int(edges[1] - edges[0]))
                continue
            parts = []
            for i in range(start, stop, self.source.batch):
                j = min(i + self.source.batch, stop)
                parts.append(self._read(split, i, tokens[i:j], positions[edges[0] : edges[1]]))
                count(len(parts[-1]))
            self.folder.save_shard(split, number, np.concatenate(parts))

    def _read(self, split: str, first: int, tokens: NDArray, positions: NDArray) -> NDArray:
        """The kept activations of contexts [B, T], of which the first has number `first`."""
        flat = positions - first * tokens.shape[1]
        flat = flat[(flat >= 0) & (flat < tokens.size)]
        x = self.model.activations(torch.from_numpy(np.array(tokens))).flatten(0, 1)
        x = x[torch.from_numpy(flat).to(x.device)].cpu()
        if not (finite := x.isfinite().all(1)).all():
            bad = flat[~finite.numpy()]
            context, position = divmod(int(bad[0]), tokens.shape[1])
            where = f"position {position} of {split} context {first + context}"
            allowed = f"finite activations; {len(bad)} of {len(x)} are not, the first at {where}"
            raise ConfigError("source.model", self.source.model, allowed)
        return x.view(torch.uint16).numpy() if x.dtype == torch.bfloat16 else x.numpy()


class TextCounts(packing.Listener):
    """Counts of a text while it is packed, for the manifest.

    `found` has the numbers of documents and of rows left out, the share of unknown tokens, the
    token before documents, and the number of special tokens that the text spells out.
    """

    def __init__(self, documents: text.Documents, tokens: Tokenizer, count: Count):
        self._documents, self._tokens, self._count = documents, tokens, count
        self.found: dict[str, Any] = {}
        self._seen = 0

    def begin(self, held_out: str) -> None:
        """See `Listener`."""
        self._count(-self._seen)
        self._seen = 0
        self.found = {"held_out": held_out, "spelled_out": 0}

    def texts(self, texts: list[str]) -> None:
        """See `Listener`."""
        self.found["spelled_out"] += sum(map(self._tokens.spelled_out, texts))

    def progress(self, n: int) -> None:
        """See `Listener`."""
        self._seen += n
        self._count(n)

    def end(self, packers: packing.Packers) -> None:
        """See `Listener`."""
        t = self._tokens
        counts = [p.count(-1 if t.unk is None else t.unk) for p in packers.values()]
        unknown, every = (sum(n) for n in zip(*counts, strict=True))
        self.found |= self._documents.summary() | {
            "unknown_share": unknown / max(every, 1),
            "bos": None if t.bos is None else t.own.convert_ids_to_tokens(t.bos),
            "bos_is_eos": t.bos != t.declared["bos"],
            "special_tokens": "parse" if t.parsed else "text",
        }


def notable(counts: dict[str, Any]) -> str:
    """What a user should know about a text, in one line; empty for ordinary text."""
    notes = []
    if left_out := sum(n for why, n in counts["left_out"].items() if why != "blank"):
        examples = "; ".join(counts["examples"])
        notes.append(
            f"{left_out} of {counts['rows']} rows left out because they have no text ({examples})"
        )
    if files := counts["files_left_out"]:
        notes.append(f"{len(files)} files are not read: {', '.join(files[:3])}")
    if counts["unknown_share"]:
        notes.append(f"{counts['unknown_share']:.2%} of the tokens are unknown to the tokenizer")
    if counts["bos"] is None:
        notes.append("the tokenizer has no BOS and no EOS, so nothing is put before documents")
    elif counts["bos_is_eos"]:
        notes.append(
            f"the tokenizer has no BOS, so its EOS {counts['bos']!r} is put before documents"
        )
    if counts["spelled_out"]:
        how = "parsed as special tokens" if counts["special_tokens"] == "parse" else "read as text"
        notes.append(f"the text spells out {counts['spelled_out']} special tokens, which are {how}")
    if counts["held_out"] != "documents":
        notes.append(
            f"too few documents to hold out every n-th: held out are the {counts['held_out']}"
        )
    return "; ".join(notes)
