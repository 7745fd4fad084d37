"""Which tensor of a file is the decoder, which the encoder, and which way round they are.

Names say what a tensor is. Its axes follow from the sizes that the config and the vectors fix, and
from its name only where those leave both ways open:

| name                                | is      | axes                | as in               |
|-------------------------------------|---------|---------------------|---------------------|
| `W_dec`, `W_D`, `dictionary`        | decoder | [M, D]              | SAELens, OpenMOSS   |
| `decoder.weight`                    | decoder | [D, M], `nn.Linear` | dictionary_learning |
| `W_enc`, `W_E`                      | encoder | [D, M]              | SAELens, OpenMOSS   |
| `encoder.weight`                    | encoder | [M, D], `nn.Linear` | sparsify            |
| `b_enc`, `latent_bias`, `threshold` | vector  | [M]                 |                     |
| `b_dec`, `pre_bias`, `bias`         | vector  | [D]                 |                     |

What stands before the last parts of a name, as in `sae.decoder.weight`, does not matter.
"""

import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import NamedTuple

from realdata.saes.config import Declared
from synthsae.checks import ConfigError, nearest

NAMES = {
    **dict.fromkeys(("w_dec", "w_d", "dictionary", "dictionary._weights"), ("decoder", "MD")),
    **dict.fromkeys(("decoder.weight", "dec.weight"), ("decoder", "DM")),
    **dict.fromkeys(("w_enc", "w_e"), ("encoder", "DM")),
    **dict.fromkeys(("encoder.weight", "enc.weight"), ("encoder", "MD")),
    **dict.fromkeys(("b_enc", "b_e", "encoder.bias", "enc.bias", "latent_bias"), ("vector", "M")),
    **dict.fromkeys(("b_gate", "gate_bias", "b_mag", "mag_bias", "r_mag"), ("vector", "M")),
    **dict.fromkeys(("threshold", "log_threshold", "scaling_factor"), ("vector", "M")),
    **dict.fromkeys(("jumprelu_threshold", "log_jumprelu_threshold"), ("vector", "M")),
    **dict.fromkeys(("b_dec", "b_d", "decoder.bias", "dec.bias", "bias"), ("vector", "D")),
    **dict.fromkeys(("pre_bias", "b_pre", "tied_bias", "pre_encoder_bias"), ("vector", "D")),
}
"""Known names in lower case: what each is, and its axes in the file."""

PATTERNS = {
    "decoder": (re.compile(r"(^|[\W_bw])dec(oder)?([\W_\d]|bias|weight|$)"), "D"),
    "before": (re.compile(r"(^|[\W_])(pre|tied|mean|cent(er|re))([\W_]|$)"), "D"),
    "encoder": (re.compile(r"(^|[\W_bw])enc(oder)?([\W_\d]|bias|weight|$)"), "M"),
    "latents": (re.compile(r"(^|[\W_])(latents?|gate|mag|thresholds?|theta)([\W_]|$)"), "M"),
}
"""What other names look like, and how long a vector of such a name is."""

Evidence = tuple[str, int, str]
"""An axis "M" or "D", its size, and what says so."""


class Layout(NamedTuple):
    """The tensors that are read, whether each is transposed in the file, and what to tell."""

    decoder: str
    turned: bool
    encoder: str | None
    encoder_turned: bool
    notes: tuple[str, ...]


def layout(
    where: str,
    shapes: Mapping[str, tuple[int, ...]],
    declared: Declared,
    decoder: str | None = None,
    transpose: bool = False,
) -> Layout:
    """How the tensors of these shapes are to be read as [M, D], given what the config `declared`.

    `decoder` names the decoder, [M, D] unless its name is known; `transpose` turns it over. Raises
    ConfigError where names, shapes and config contradict one another, and where nothing says which
    tensor is the decoder or which way round it is.
    """
    which = _decoder(where, shapes, decoder)
    named = _nearest(which, [n for n, s in shapes.items() if len(s) == 2 and known(n, "encoder")])
    encoder = named[0] if len(named) == 1 else None
    axes, notes = _axes(where, shapes, declared, which, encoder, decoder is not None, transpose)
    m, d = shapes[which] if axes == "MD" else shapes[which][::-1]
    d = declared.d_in or d
    if not named:
        fits = [n for n, s in shapes.items() if s in ((m, d), (d, m)) and kind(n) != "decoder"]
        fits = [n for n in fits if n != which]
        named = _nearest(which, [n for n in fits if kind(n) == "encoder"] or fits)
        if len(named) == 1:
            encoder = named[0]
            notes.append(f"{encoder} is read as the encoder" + ", [M, D]" * (m == d))
    if encoder is None:
        odd = named or [n for n, s in shapes.items() if len(s) > 1 and kind(n) == "encoder"]
        notes += [f"no encoder is read: {_listed(shapes, odd)} may be it"] * bool(odd)
        return Layout(which, axes == "DM", None, False, tuple(notes))
    if shapes[encoder] not in ((m, d), (d, m)):
        allowed = f"({m}, {d}) or ({d}, {m}), as {which} {list(shapes[which])} has"
        raise ConfigError(f"{where}: {encoder}", shapes[encoder], allowed)
    turned = shapes[encoder] != (m, d) if m != d else usual_axes(encoder) == "DM"
    return Layout(which, axes == "DM", encoder, turned, tuple(notes))


def known(name: str, what: str) -> str | None:
    """The axes in the file of a decoder, an encoder or a vector whose name is known."""
    parts = name.lower().split(".")
    for key in (".".join(parts[-2:]), parts[-1]):
        if NAMES.get(key, ("",))[0] == what and (key != "bias" or len(parts) == 1):
            return NAMES[key][1]
    return None


def kind(name: str) -> str | None:
    """What a name looks like, known or not: a key of `PATTERNS`."""
    for what in ("decoder", "encoder"):
        if known(name, what):
            return what
    return next((k for k, (p, _) in PATTERNS.items() if p.search(name.lower())), None)


def usual_axes(name: str) -> str | None:
    """The axes of a decoder or encoder by its name alone; those of `nn.Linear` for any weight."""
    linear = {"decoder": "DM", "encoder": "MD"} if name.lower().endswith(".weight") else {}
    return known(name, "decoder") or known(name, "encoder") or linear.get(str(kind(name)))


def _decoder(where: str, shapes: Mapping[str, tuple[int, ...]], chosen: str | None) -> str:
    """The tensor that is the decoder."""
    tables = [name for name, shape in shapes.items() if len(shape) == 2]
    if chosen is not None and chosen in tables:
        return chosen
    if chosen is None:
        sure = [name for name in shapes if known(name, "decoder") and len(shapes[name]) > 1]
        found = sure or [name for name in tables if kind(name) == "decoder"]
        if len(found) == 1 and found[0] in tables:
            return found[0]
        if sure:
            allowed = "one decoder with two axes; --decoder NAME chooses"
            raise ConfigError(f"{where}: decoder", _listed(shapes, sure), allowed)
    there = _listed(shapes, tables) or "no matrix of numbers is in this file"
    allowed = f"{there} (and --transpose if [D, M]){nearest(chosen, tables) if chosen else ''}"
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
    """The axes of the decoder in the file, "MD" or "DM", and what to tell of how they were found.

    What was asked for stands, then what sizes say, then the name; none may contradict the others.
    """
    a, b = shape = shapes[which]
    evidence = [*declared.sizes, *_vectors(shapes, shape, declared)]
    fits = [axes for axes in ("MD", "DM") if not _against(evidence, axes, shape)]
    usual = usual_axes(which) or ("MD" if chosen or transpose else None)
    if usual is not None and transpose:
        usual = usual[::-1]
    asked = transpose or (chosen and not known(which, "decoder"))
    if not fits or (asked and usual not in fits):
        axis, size, source = _against(evidence, usual or "MD", shape)[0]
        turn = "; --transpose turns it over" if fits and not transpose else ""
        field = f"{where}: {which} as [{', '.join(usual or 'MD')}]"
        raise ConfigError(field, shape, f"{axis} = {size}, by {source}{turn}")
    if asked and usual:
        return usual, []
    if len(fits) == 1:
        turned = f"{which} {list(shape)} is read as [{', '.join(fits[0])}], by {evidence[0][2]}"
        return fits[0], [turned] * (usual not in (None, fits[0]))
    by_encoder = None
    if encoder is not None and a != b and sorted(shapes[encoder]) == sorted(shape):
        same = shapes[encoder] == shape
        by_encoder = usual_axes(encoder) if same else str(usual_axes(encoder))[::-1]
    if usual is None or (by_encoder not in (None, usual) and not chosen):
        if usual is None and by_encoder:
            return by_encoder, []
        shown = _listed(shapes, [which, encoder] if encoder else [which])
        axes = ", ".join(usual or "MD")
        way = f"--decoder {which} reads it as [{axes}], --transpose turns it over"
        allowed = f"a config or vectors that fix M and D; {way}"
        raise ConfigError(f"{where}: decoder", shown, allowed)
    m, d = shape if usual == "MD" else shape[::-1]
    note = f"{which} {list(shape)} is read as [{', '.join(usual)}], by its name alone"
    return usual, [note] * (m <= d)


def _vectors(
    shapes: Mapping[str, tuple[int, ...]], decoder: tuple[int, ...], declared: Declared
) -> list[Evidence]:
    """What vectors say: those of known names always, others where they are as long as an axis."""
    found = []
    for name, shape in shapes.items():
        long = [n for n in shape if n != 1]
        axis = known(name, "vector")
        if axis is None and len(shape) == 1 and long and long[0] in decoder:
            axis = PATTERNS.get(str(kind(name)), (None, None))[1]
        if axis is None or len(long) != 1 or (axis == "D" and long[0] == declared.d_in):
            continue
        found.append((axis, long[0], f"{name} {list(shape)}"))
    return found


def _against(evidence: Sequence[Evidence], axes: str, shape: tuple[int, ...]) -> list[Evidence]:
    """What contradicts these axes of a shape."""
    size = dict(zip(axes, shape, strict=True))
    return [e for e in evidence if size[e[0]] != e[1]]


def _nearest(which: str, names: Sequence[str]) -> list[str]:
    """The names that share most of what stands before the decoder's."""
    pairs = [zip(which.split("."), name.split("."), strict=False) for name in names]
    shared = [len(list(takewhile(lambda pair: pair[0] == pair[1], p))) for p in pairs]
    return [name for name, n in zip(names, shared, strict=True) if n == max(shared)]


def _listed(shapes: Mapping[str, tuple[int, ...]], names: Sequence[str]) -> str:
    return ", ".join(f"{name} {list(shapes[name])}" for name in names)
