"""How an architecture looks in every figure: its name in words, its colour, its marker."""

from synthsae.plot.common import GREY
from synthsae.sae import ARCHITECTURES

LOOK = {
    "topk": ("#000000", "o"),
    "batchtopk": ("#0072B2", "s"),
    "relu": ("#D55E00", "^"),
    "jumprelu": ("#E69F00", "v"),
    "gated": ("#CC79A7", "D"),
    "matryoshka": ("#009E73", "P"),
    "hierarchical_topk": ("#56B4E9", "X"),
    "kron": ("#8A8A8A", "*"),
}
"""Colour (Okabe and Ito, grey for their yellow) and marker of an architecture."""


def label(arch: str) -> str:
    """The architecture's name in words."""
    known = ARCHITECTURES.get(arch)
    return (known.label if known else "") or arch


def look(arch: str) -> tuple[str, str, str]:
    """Name in words, colour and marker; grey points for an architecture without a look."""
    return (label(arch), *LOOK.get(arch, (GREY, ".")))
