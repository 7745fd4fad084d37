"""What the manifest of a harvest says of its text, and what of it a user should see at once."""

from typing import Any

from realdata.packing import Packers, Watch
from realdata.text import Documents
from realdata.tokenizer import Tokenizer
from synthsae.progress import Count


class Facts(Watch):
    """Counts of documents and of rows left out, the share of unknown tokens among those packed,
    what is put before documents, and how many special tokens the tokenised text spells out.
    """

    def __init__(self, documents: Documents, tokens: Tokenizer, count: Count):
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

    def end(self, packers: Packers) -> None:
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
