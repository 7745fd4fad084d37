"""How an architecture looks in every figure: its name in words, its colour, its marker."""

LOOK = {
    "topk": ("TopK", "#000000", "o"),
    "batchtopk": ("BatchTopK", "#0072B2", "s"),
    "relu": ("ReLU + L1", "#D55E00", "^"),
    "jumprelu": ("JumpReLU", "#E69F00", "v"),
    "gated": ("Gated", "#CC79A7", "D"),
    "matryoshka": ("Matryoshka", "#009E73", "P"),
    "hierarchical_topk": ("HierarchicalTopK", "#56B4E9", "X"),
    "kron": ("KronSAE", "#8A8A8A", "*"),
}
"""Name, colour (Okabe and Ito, grey for their yellow) and marker of an architecture."""


def label(arch: str) -> str:
    """The architecture's name in words."""
    return LOOK.get(arch, (arch,))[0]
