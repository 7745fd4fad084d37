"""Name, colour and marker of each architecture, the same in every figure."""

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
"""Architecture -> colour (Okabe and Ito's palette, with grey in place of yellow) and marker."""


def label(arch: str) -> str:
    """Name of an architecture in words; `arch` itself if it has none."""
    known = ARCHITECTURES.get(arch)
    return (known.label if known else "") or arch


def look(arch: str) -> tuple[str, str, str]:
    """Name in words, colour and marker; grey points for other architectures."""
    return (label(arch), *LOOK.get(arch, (GREY, ".")))
