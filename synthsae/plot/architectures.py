"""Name, colour and marker of each architecture, the same in every figure."""

from synthsae.plot.common import GREY
from synthsae.sae import ARCHITECTURES

COLOURS = (
    "#000000",
    "#0072B2",
    "#D55E00",
    "#E69F00",
    "#CC79A7",
    "#009E73",
    "#56B4E9",
    "#8A8A8A",
)
"""The palette of Okabe and Ito, with grey in place of yellow, in the order of the registry."""

MARKERS = "os^vDPX*hp<>d8H|"
"""Markers in the order of the registry; twice as many as colours, so that pairs differ."""


def label(arch: str) -> str:
    """Name of an architecture in words; `arch` itself if it has none."""
    known = ARCHITECTURES.get(arch)
    return (known.label if known else "") or arch


def look(arch: str) -> tuple[str, str, str]:
    """Name in words, colour and marker, by the architecture's place in the registry.

    The first 16 architectures differ in marker, the first 128 in the pair. An architecture that is
    not registered is a grey point.
    """
    if arch not in ARCHITECTURES:
        return label(arch), GREY, "."
    place = list(ARCHITECTURES).index(arch)
    shift, marker = divmod(place, len(MARKERS))
    return label(arch), COLOURS[(place + shift) % len(COLOURS)], MARKERS[marker]
