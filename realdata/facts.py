"""What the manifest of a harvest says of its text, and what of it a user should see at once."""

from typing import Any

from realdata.packing import Packers
from realdata.text import Documents
from realdata.tokenizer import Tokenizer


def found(
    documents: Documents, tokens: Tokenizer, held_out: str, packers: Packers
) -> dict[str, Any]:
    """Counts of documents and of rows left out, the share of unknown tokens among those packed,
    what is put before documents, and how many special tokens are spelled out.
    """
    counts = [p.count(-1 if tokens.unk is None else tokens.unk) for p in packers.values()]
    unknown, every = (sum(n) for n in zip(*counts, strict=True))
    return documents.summary() | {
        "unknown_share": unknown / max(every, 1),
        "bos": None if tokens.bos is None else tokens.own.convert_ids_to_tokens(tokens.bos),
        "bos_is_eos": tokens.bos is not None and tokens.bos != tokens.declared["bos"],
        "spelled_out": documents.spelled_out,
        "special_tokens": "parse" if tokens.parsed else "text",
        "held_out": held_out,
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
