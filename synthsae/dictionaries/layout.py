"""Find the decoder and the encoder among the tensors of a file, and the order of their axes.

The name of a tensor says what it is. The order of its axes follows from the sizes in the config and
the lengths of vectors; where these allow both orders, it follows from the name:

| name                                | is      | axes                | as in               |
|-------------------------------------|---------|---------------------|---------------------|
| `W_dec`, `W_D`, `dictionary`        | decoder | [M, D]              | SAELens, OpenMOSS   |
| `decoder.weight`                    | decoder | [D, M], `nn.Linear` | dictionary_learning |
| `W_enc`, `W_E`                      | encoder | [D, M]              | SAELens, OpenMOSS   |
| `encoder.weight`                    | encoder | [M, D], `nn.Linear` | sparsify            |
| `b_enc`, `latent_bias`, `threshold` | vector  | [M]                 |                     |
| `b_dec`, `pre_bias`, `bias`         | vector  | [D]                 |                     |

A prefix, such as `sae.` in `sae.decoder.weight`, is ignored.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from synthsae.checks import ConfigError, nearest
from synthsae.dictionaries.config import Declared

UNNAMED = "array"
"""Name of an array whose file gives it none: [M, D] if it has more rows than columns."""

NAMES = {
    **dict.fromkeys(("w_dec", "w_d", "dictionary", "dictionary._weights"), ("decoder", "MD")),
    **dict.fromkeys(("decoder.weight", "dec.weight"), ("decoder", "DM")),
    **dict.fromkeys(("w_enc", "w_e"), ("encoder", "DM")),
    **dict.fromkeys(("encoder.weight", "enc.weight"), ("encoder", "MD")),
    **dict.fromkeys(("b_enc", "b_e", "encoder.bias", "enc.bias", "latent_bias"), ("vector", "M")),
    **dict.fromkeys(("b_gate", "gate_bias", "b_mag", "mag_bias", "r_mag"), ("vector", "M")),
    **dict.fromkeys(("threshold", "log_threshold", "scaling_factor"), ("vector", "M")),
    **dict.fromkeys(("jumprelu_threshold", "log_jumprelu_threshold"), ("vector", "M")),
    **dict.fromkeys(
        ("b_dec", "b_d", "decoder.bias", "dec.bias", "decoder_bias", "bias"), ("vector", "D")
    ),
    **dict.fromkeys(("pre_bias", "b_pre", "tied_bias", "pre_encoder_bias"), ("vector", "D")),
}
"""Known names in lower case, with the role of the tensor and its axes in the file."""

PATTERNS = {
    "decoder": (re.compile(r"(^|[\W_bw])dec(oder)?([\W_\d]|bias|weight|$)"), "D"),
    "before": (re.compile(r"(^|[\W_])(pre|tied|mean|cent(er|re))([\W_]|$)"), "D"),
    "encoder": (re.compile(r"(^|[\W_bw])enc(oder)?([\W_\d]|bias|weight|$)"), "M"),
    "latents": (re.compile(r"(^|[\W_])(latents?|gate|mag|thresholds?|theta)([\W_]|$)"), "M"),
}
"""Patterns of other names by role, and the axis as long as a vector of such a name."""

Evidence = tuple[str, int, str]
"""An axis "M" or "D", its size, and where the size comes from."""


class Layout(NamedTuple):
    """Names of the tensors to read, whether each is transposed in the file, and notes on it."""

    decoder: str
    transposed: bool
    encoder: str | None
    encoder_transposed: bool
    notes: tuple[str, ...]


def layout(
    where: str,
    shapes: Mapping[str, tuple[int, ...]],
    declared: Declared,
    decoder: str | None = None,
    transpose: bool = False,
) -> Layout:
    """The tensors to read as decoder and encoder, and the order of their axes.

    Args:
        where: the file, as error messages show it.
        shapes: name and shape of each tensor of floats.
        declared: what the configs say.
        decoder: name of the decoder, [M, D] unless the name is a known one.
        transpose: the decoder's axes are in the other order.

    Raises:
        ConfigError: names, shapes and configs contradict one another, or do not determine which
            tensor is the decoder or the order of its axes.
    """
    which = _decoder(where, shapes, decoder)
    named = _nearest(
        which, [n for n, s in shapes.items() if len(s) == 2 and known_axes(n, "encoder")]
    )
    encoder = named[0] if len(named) == 1 else None
    axes, notes = _axes(where, shapes, declared, which, encoder, decoder is not None, transpose)
    m, d = shapes[which] if axes == "MD" else shapes[which][::-1]
    d = declared.d_in or d
    if not named:
        fits = [n for n, s in shapes.items() if s in ((m, d), (d, m)) and role(n) != "decoder"]
        fits = [n for n in fits if n != which]
        named = _nearest(which, [n for n in fits if role(n) == "encoder"] or fits)
        if len(named) == 1:
            encoder = named[0]
            notes.append(f"{encoder} is read as the encoder" + ", [M, D]" * (m == d))
    if encoder is None:
        odd = named or [n for n, s in shapes.items() if len(s) > 1 and role(n) == "encoder"]
        notes += [f"no encoder is read: candidates are {_listed(shapes, odd)}"] * bool(odd)
        return Layout(which, axes == "DM", None, False, tuple(notes))
    if shapes[encoder] not in ((m, d), (d, m)):
        allowed = f"({m}, {d}) or ({d}, {m}), to fit {which} {list(shapes[which])}"
        raise ConfigError(f"{where}: {encoder}", shapes[encoder], allowed)
    transposed = shapes[encoder] != (m, d) if m != d else usual_axes(encoder) == "DM"
    return Layout(which, axes == "DM", encoder, transposed, tuple(notes))


def known_axes(name: str, what: str) -> str | None:
    """The axes in the file of a tensor with a known name and the role `what`, or None."""
    parts = name.lower().split(".")
    for key in (".".join(parts[-2:]), parts[-1]):
        if NAMES.get(key, ("",))[0] == what and (key != "bias" or len(parts) == 1):
            return NAMES[key][1]
    return None


def role(name: str) -> str | None:
    """The role that a known or unknown name suggests, a key of `PATTERNS`, or None."""
    for what in ("decoder", "encoder"):
        if known_axes(name, what):
            return what
    return next((k for k, (p, _) in PATTERNS.items() if p.search(name.lower())), None)


def usual_axes(name: str) -> str | None:
    """The axes of a decoder or encoder by its name alone; a `.weight` has those of `nn.Linear`."""
    linear = {"decoder": "DM", "encoder": "MD"} if name.lower().endswith(".weight") else {}
    return known_axes(name, "decoder") or known_axes(name, "encoder") or linear.get(str(role(name)))


def _decoder(where: str, shapes: Mapping[str, tuple[int, ...]], chosen: str | None) -> str:
    """The name of the decoder. Raises ConfigError where no or several tensors may be it."""
    matrices = [name for name, shape in shapes.items() if len(shape) == 2]
    if chosen is not None and chosen in matrices:
        return chosen
    if chosen is None and matrices == [UNNAMED]:
        return UNNAMED
    if chosen is None:
        sure = [name for name in shapes if known_axes(name, "decoder") and len(shapes[name]) > 1]
        found = sure or [name for name in matrices if role(name) == "decoder"]
        if len(found) == 1 and found[0] in matrices:
            return found[0]
        if sure:
            allowed = "one decoder with two axes (choose it with --decoder NAME)"
            raise ConfigError(f"{where}: decoder", _listed(shapes, sure), allowed)
    candidates = _listed(shapes, matrices) or "no matrix of numbers is in this file"
    allowed = f"{candidates} (with --transpose if it is [D, M])"
    allowed += nearest(chosen, matrices) if chosen else ""
    raise ConfigError(f"{where}: --decoder", chosen, allowed)


def _axes(
    where: str,
    shapes: Mapping[str, tuple[int, ...]],
    declared: Declared,
    which: str,
    encoder: str | None,
    chosen: bool,
    transpose: bool,
) -> tuple[str, list[str]]:
    """The axes of the decoder in the file, "MD" or "DM", and notes on how they were found.

    The user's choice comes first, then the sizes, then the name. Raises ConfigError where the
    user's choice and the sizes contradict each other, and where the axes stay undetermined.
    """
    a, b = shape = shapes[which]
    evidence = [*declared.sizes, *_vectors(shapes, shape, declared)]
    fits = [axes for axes in ("MD", "DM") if not _contradictions(evidence, axes, shape)]
    tall = which == UNNAMED and a > b
    usual = usual_axes(which) or ("MD" if chosen or transpose or tall else None)
    if usual is not None and transpose:
        usual = usual[::-1]
    asked = transpose or (chosen and not known_axes(which, "decoder"))
    if not fits or (asked and usual not in fits):
        axis, size, source = _contradictions(evidence, usual or "MD", shape)[0]
        turn = " (try --transpose)" if fits and not transpose else ""
        field = f"{where}: {which} as [{', '.join(usual or 'MD')}]"
        raise ConfigError(field, shape, f"{axis} = {size}, by {source}{turn}")
    if asked and usual:
        return usual, []
    if len(fits) == 1:
        note = f"{which} {list(shape)} is read as [{', '.join(fits[0])}], by {evidence[0][2]}"
        return fits[0], [note] * (usual not in (None, fits[0]))
    by_encoder = None
    if encoder is not None and a != b and sorted(shapes[encoder]) == sorted(shape):
        same = shapes[encoder] == shape
        by_encoder = usual_axes(encoder) if same else str(usual_axes(encoder))[::-1]
    if usual is None or (by_encoder not in (None, usual) and not chosen):
        if usual is None and by_encoder:
            return by_encoder, []
        shown = _listed(shapes, [which, encoder] if encoder else [which])
        axes = ", ".join(usual or "MD")
        way = f"--decoder {which} reads it as [{axes}], --transpose swaps the axes"
        allowed = f"a config or vectors that say which axis is M ({way})"
        raise ConfigError(f"{where}: decoder", shown, allowed)
    m, d = shape if usual == "MD" else shape[::-1]
    note = f"{which} {list(shape)} is read as [{', '.join(usual)}], by its name alone"
    return usual, [note] * (m <= d)


def _vectors(
    shapes: Mapping[str, tuple[int, ...]], decoder: tuple[int, ...], declared: Declared
) -> list[Evidence]:
    """Sizes by vectors: of known names, and of other names where they are as long as an axis."""
    found = []
    for name, shape in shapes.items():
        long = [n for n in shape if n != 1]
        axis = known_axes(name, "vector")
        if axis is None and len(shape) == 1 and long and long[0] in decoder:
            axis = PATTERNS.get(str(role(name)), (None, None))[1]
        if axis is None or len(long) != 1 or (axis == "D" and long[0] == declared.d_in):
            continue
        found.append((axis, long[0], f"{name} {list(shape)}"))
    return found


def _contradictions(
    evidence: Sequence[Evidence], axes: str, shape: tuple[int, ...]
) -> list[Evidence]:
    """The evidence that contradicts these axes of a shape."""
    size = dict(zip(axes, shape, strict=True))
    return [e for e in evidence if size[e[0]] != e[1]]


def _nearest(which: str, names: Sequence[str]) -> list[str]:
    """The names that share the longest prefix with the decoder's name, `which`."""
    pairs = [zip(which.split("."), name.split("."), strict=False) for name in names]
    shared = [len(list(takewhile(lambda pair: pair[0] == pair[1], p))) for p in pairs]
    return [name for name, n in zip(names, shared, strict=True) if n == max(shared)]


def _listed(shapes: Mapping[str, tuple[int, ...]], names: Sequence[str]) -> str:
    """Names with their shapes, for a message."""
    return ", ".join(f"{name} {list(shapes[name])}" for name in names)
