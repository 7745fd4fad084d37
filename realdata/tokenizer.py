"""Tokenise texts with the special tokens that the tokenizer's own files declare.

transformer-lens adds BOS, EOS and padding to the tokenizer that it gets, and transformers adds the
defaults of the tokenizer's class. A special token that the files do not declare is ignored here.
"""

import json
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig

Ids = NDArray[np.int32]


class Tokenizer:
    """A tokenizer of transformers, with the ids for the start of documents and for unknown text.

    Attributes:
        own: the tokenizer of transformers.
        declared: the ids of `bos`, `eos` and `unk` by the tokenizer's files, or None.
        bos: the id put before documents and contexts: BOS, or EOS where there is no BOS, or None.
        unk: the id of unknown characters, or None.
        parsed: whether special tokens that a text spells out are parsed as special tokens: by
            `source.special_tokens`, or because the tokenizer cannot read them as text.
    """

    def __init__(self, own: Any, folder: Path, source: SourceConfig, n_vocab: int):
        """`n_vocab` is the model's. Raises ConfigError where the id of BOS is not below it."""
        self.own, self._source, self._n_vocab = own, source, n_vocab
        self.declared = {kind: _declared(own, folder, kind) for kind in ("bos", "eos", "unk")}
        self.bos = next(
            (self.declared[k] for k in ("bos", "eos") if self.declared[k] is not None), None
        )
        self.unk = self.declared["unk"]
        names = {str(token) for token in own.added_tokens_decoder.values() if token.special}
        longest = sorted(names, key=lambda name: (-len(name), name))
        self._special = re.compile("|".join(map(re.escape, longest))) if names else None
        self.parsed = source.special_tokens == "parse"
        if not self.parsed and names:
            ids = self._ids([longest[0]])[0]
            self.parsed = ids == [own.convert_tokens_to_ids(longest[0])]
        if self.bos is not None:
            self._check(self.bos)

    def encode(self, texts: list[str]) -> list[Ids]:
        """Token ids of each text, [n], without BOS, which the packer adds.

        Where special tokens are parsed, a BOS at the start of a text is removed. Raises ConfigError
        for an id beyond the model's vocabulary.
        """
        found = [np.array(ids, np.int32) for ids in self._ids(texts)]
        self._check(max((int(ids.max()) for ids in found if len(ids)), default=0))
        if self.parsed and self.bos is not None:
            found = [ids[1:] if len(ids) and ids[0] == self.bos else ids for ids in found]
        return found

    def spelled_out(self, text: str) -> int:
        """Number of special tokens that a text spells out."""
        return sum(1 for _ in self._special.finditer(text)) if self._special else 0

    def _ids(self, texts: list[str]) -> list[list[int]]:
        return self.own(
            texts,
            add_special_tokens=False,
            split_special_tokens=self._source.special_tokens == "text",
            return_attention_mask=False,
            return_token_type_ids=False,
            verbose=False,
        )["input_ids"]

    def _check(self, top: int) -> None:
        if top >= self._n_vocab:
            name = self.own.convert_ids_to_tokens(top)
            text = (
                f"a tokenizer that fits the model: it has the id {top} ({name!r}), but the model's "
                f"vocabulary ends at {self._n_vocab - 1}"
            )
            raise ConfigError("source.model", self._source.model, text)


def _declared(own: Any, folder: Path, kind: str) -> int | None:
    """The id of a special token that the tokenizer's files declare, or None."""
    token, found = getattr(own, f"{kind}_token"), getattr(own, f"{kind}_token_id")
    if (
        found is None or own.convert_ids_to_tokens(found) != token
    ):  # `found` is the id of the unknown token
        return None
    return found if found < own.vocab_size or token in _added(folder) else None


def _added(folder: Path) -> set[str]:
    """The tokens that a tokenizer's files add to its vocabulary."""
    names: set[str] = set()
    with suppress(OSError, ValueError, KeyError, TypeError):
        names |= {t["content"] for t in _json(folder / "tokenizer.json")["added_tokens"]}
    with suppress(OSError, ValueError, KeyError, TypeError, AttributeError):
        listed = _json(folder / "tokenizer_config.json")["added_tokens_decoder"]
        names |= {t["content"] for t in listed.values()}
    with suppress(OSError, ValueError, TypeError):
        names |= set(_json(folder / "added_tokens.json"))
    return names


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))
