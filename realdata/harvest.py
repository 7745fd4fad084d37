"""Harvesting: a model reads a text once, and its activations at one site go to the disk cache.

First the text is packed into contexts of token ids, which are saved; then the model reads these, a
shard at a time. After a kill the same call goes on behind the last shard. Memory: the model, one
shard (three times `SHARD_BYTES`) and some 20 bytes for each token.
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
from synthsae.progress import Count
from synthsae.study.cell import threads

SHARD_BYTES = 2**26
"""Largest size of a shard."""
FACTS = "text.json"
"""The file of a harvest that says what was found in the text."""
VERSIONS = ("synthsae", "torch", "transformers", "transformer-lens")


def harvest(source: SourceConfig) -> Folder:
    """The folder of the finished harvest of `source`, made where it is not there.

    Says before it starts how much it will write. Raises ConfigError where that is more than
    `source.cache_limit` or the disk has room for, and for every kind of bad input.
    """
    folder = Folder(source)
    if folder.manifest() is None:
        with folder.hold():
            if folder.manifest() is None:  # the process that was waited for has not made it
                with threads(source.threads):
                    _Harvest(source, folder).run()
    return folder


class _Harvest:
    """One harvest in the making."""

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
        about: dict[str, Any] = {"source": asdict(self.source), "identity": self.folder.identity}
        with progress.bar("text", s.tokens, "tokens") as count:
            splits = self._contexts(count)
        about["text"] = self._text_facts()
        about["causal"] = self._causal(splits["train"][0][0])
        with progress.bar(f"{s.hook} {s.layer}", s.tokens, "tokens") as count:
            for split, (tokens, positions) in splits.items():
                self._shards(split, tokens, positions, count)
                about[split] = {"contexts": len(tokens), "rows": len(positions)}
        about["versions"] = {name: version(name) for name in VERSIONS}
        about["seconds"] = time.perf_counter() - began
        self.folder.save("manifest.json", json.dumps(about, indent=1).encode())

    def _contexts(self, count: Count) -> dict[str, packing.Packed]:
        """The contexts and positions of each split: those saved, or the text's."""
        names = {split: (f"{split}-tokens.npy", f"{split}-positions.npy") for split in SPLITS}
        saved = {s: (self.folder.load(t), self.folder.load(p)) for s, (t, p) in names.items()}
        whole = {s: (t, p) for s, (t, p) in saved.items() if t is not None and p is not None}
        if len(whole) == len(names) and self._text_facts():
            count(self.source.tokens)
            return whole
        local = text.local(self.source)
        revision = "" if local else hub.revision(self.source.text)
        documents = text.Documents(self.source, revision)
        found = TextFacts(documents, self.model.tokens, count)
        read = self.model.encode, self.model.bos, self.source
        made = packing.pack(documents, *read, found)
        documents.refuse()
        if said := notable(found.found):
            progress.say(f"text: {said}")
        for split, (tokens, positions) in names.items():
            self.folder.save(tokens, made[split][0])
            self.folder.save(positions, made[split][1])
        self.folder.save(FACTS, json.dumps(found.found, indent=1).encode())
        return made

    def _text_facts(self) -> dict[str, Any]:
        """What was found in the text; empty where it was not packed yet."""
        with suppress(OSError, ValueError):
            return json.loads((self.folder.path / FACTS).read_text())
        return {}

    def _causal(self, context: NDArray) -> bool:
        """Whether no activation depends on a later token; says so where one does."""
        causal = self.model.causal(torch.from_numpy(np.array(context)))
        if not causal:
            progress.say(
                f"warning: {self.source.model} is not causal: activations of a token depend on "
                "tokens behind it"
            )
        return causal

    def _shards(self, split: str, tokens: NDArray, positions: NDArray, count: Count) -> None:
        """Write the shards of a split that are not there."""
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
        """The wanted activations of contexts [B, T] from the `first` on, [rows, D]."""
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


class TextFacts(packing.Watch):
    """Counts of documents and of rows left out, the share of unknown tokens among those packed,
    what is put before documents, and how many special tokens the tokenised text spells out.
    """

    def __init__(self, documents: text.Documents, tokens: Tokenizer, count: Count):
        self._documents, self._tokens, self._count = documents, tokens, count
        self.found: dict[str, Any] = {}
        self._seen = 0

    def begin(self, held_out: str) -> None:
        """See `Watch`."""
        self._count(-self._seen)
        self._seen = 0
        self.found = {"held_out": held_out, "spelled_out": 0}

    def texts(self, texts: list[str]) -> None:
        """See `Watch`."""
        self.found["spelled_out"] += sum(map(self._tokens.spelled_out, texts))

    def progress(self, n: int) -> None:
        """See `Watch`."""
        self._seen += n
        self._count(n)

    def end(self, packers: packing.Packers) -> None:
        """See `Watch`."""
        t = self._tokens
        counts = [p.count(-1 if t.unk is None else t.unk) for p in packers.values()]
        unknown, every = (sum(n) for n in zip(*counts, strict=True))
        self.found |= self._documents.summary() | {
            "unknown_share": unknown / max(every, 1),
            "bos": None if t.bos is None else t.own.convert_ids_to_tokens(t.bos),
            "bos_is_eos": t.bos != t.declared["bos"],
            "special_tokens": "parse" if t.parsed else "text",
        }


def notable(facts: dict[str, Any]) -> str:
    """What is out of the ordinary, in one line; empty for ordinary text."""
    said = []
    if left_out := sum(n for why, n in facts["left_out"].items() if why != "blank"):
        examples = "; ".join(facts["examples"])
        said.append(f"{left_out} of {facts['rows']} rows left out for want of text ({examples})")
    if files := facts["files_left_out"]:
        said.append(f"files not read: {', '.join(files[:3])}, {len(files)} in all")
    if facts["unknown_share"]:
        said.append(f"{facts['unknown_share']:.2%} of the tokens are unknown to the tokenizer")
    if facts["bos"] is None:
        said.append("the tokenizer has no BOS and no EOS, nothing is put before documents")
    elif facts["bos_is_eos"]:
        said.append(f"the tokenizer has no BOS, its EOS {facts['bos']!r} is put before documents")
    if facts["spelled_out"]:
        how = "parsed as such" if facts["special_tokens"] == "parse" else "read as text"
        said.append(f"{facts['spelled_out']} special tokens are spelled out in it and {how}")
    if facts["held_out"] != "documents":
        said.append(f"too few documents to hold out every n-th: the {facts['held_out']} are")
    return "; ".join(said)
