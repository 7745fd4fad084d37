"""Read SAEs: decoders, and where they are known encoders, biases and firing rates.

In every array here, rows are latents. `places` finds the file, `tensors` opens it, `layout` finds
the tensors and their axes, and `config` reads the config beside them.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from synthsae.arrays import Array
from synthsae.checks import ConfigError
from synthsae.dictionaries import rates
from synthsae.dictionaries.config import Declared, read_configs
from synthsae.dictionaries.layout import known_axes, layout, role
from synthsae.dictionaries.places import find, shown
from synthsae.dictionaries.tensors import ALLOWED_TYPES, FLOATS, Tensors
from synthsae.sae import SAEStack

QUANTISED = re.compile(
    r"(^|[._])(qweight|qzeros|g_idx|(nested_)?absmax|quant_(map|state)|scb|weight_(scale|packed)"
    r"|(weight_)?zero_point|weight_scale_inv)($|[._])"
)
"""Names of the tensors that bitsandbytes, GPTQ and others store beside quantised weights."""

SCALES = re.compile("threshold|scaling_factor|r_mag")
"""Names of the vectors that are no biases."""

LARGEST = 1e150
"""Largest magnitude that is accepted: the squares of such numbers do not overflow."""


class Dictionary(NamedTuple):
    """One SAE.

    Attributes:
        name: its name in reports.
        decoder: decoder rows, [M, D]; zero for a latent that never fires.
        encoder: encoder rows, [M, d_in], or None.
        declared: what its config says.
        notes: what a user should know about how it was read, one line each.
        encoder_bias: bias of each latent, [M], as in the file; None where it is not known or, as
            in a Gated SAE, not the only one.
        decoder_bias: bias of the reconstruction, [D], as in the file, or None.
        rates: firing rate of each latent, [M], or None.
    """

    name: str
    decoder: Array
    encoder: Array | None
    declared: Declared = Declared()
    notes: tuple[str, ...] = ()
    encoder_bias: Array | None = None
    decoder_bias: Array | None = None
    rates: Array | None = None


def read(path: str | Path, decoder: str | None = None, transpose: bool = False) -> list[Dictionary]:
    """The SAEs in a folder or file: one for each seed of a file of `SAEStack.save`, otherwise one.

    Args:
        path: a folder with one SAE, a file of weights (safetensors or its index, `.npz`, `.npy`,
            `.pt`), or ORGANISATION/NAME[@REVISION][/FOLDER] on the Hugging Face hub.
        decoder: name of the decoder tensor, [M, D], where the known names do not find it.
        transpose: the decoder has the other orientation: [D, M] for a tensor named by `decoder`,
            the opposite of the usual one for a known name.

    Raises:
        ConfigError: the file cannot be read, or is a pickle of more than tensors; names, shapes and
            config contradict one another; weights are not floating-point numbers; the decoder is
            zero or not finite.
    """
    name = shown(path)
    file = find(path)
    tensors = Tensors.open(file)
    if {"config", "seeds"} <= set(tensors.metadata):
        return of_stack(name, SAEStack.load(file))
    return [_single(name, tensors, decoder, transpose)]


def _single(name: str, tensors: Tensors, decoder: str | None, transpose: bool) -> Dictionary:
    """The SAE in a file that `SAEStack.save` did not write."""
    _readable(name, tensors, decoder)
    declared = read_configs(tensors.path, tensors.metadata)
    shapes = {n: s for n, s in tensors.shapes.items() if tensors.dtypes[n] in FLOATS}
    found = layout(name, shapes, declared, decoder, transpose)
    values, vectors = {}, {}
    for n in shapes:
        rows = n in (found.decoder, found.encoder)
        may_be_infinite = "threshold" in n.lower() and not rows
        numbers = _finite(f"{name}: {n}", tensors.get(n), may_be_infinite)
        if rows:
            values[n] = numbers
        elif axis := known_axes(n, "vector"):
            vectors[n.lower()] = numbers.ravel() if axis == "M" else numbers
    decoder_rows = values[found.decoder].T if found.transposed else values[found.decoder]
    encoder = None if found.encoder is None else values[found.encoder]
    if encoder is not None and found.encoder_transposed:
        encoder = encoder.T
    m, d = decoder_rows.shape
    sae = Dictionary(
        name,
        decoder_rows,
        encoder,
        declared,
        found.notes,
        _bias(vectors, "M", m),
        _bias(vectors, "D", d),
        rates.read(tensors.path, m),
    )
    return _checked(sae, vectors)


def _bias(vectors: dict[str, Array], axis: str, size: int) -> Array | None:
    """The only bias along an axis; None where there is none or more than one."""
    found = [
        x.ravel()
        for name, x in vectors.items()
        if known_axes(name, "vector") == axis and not SCALES.search(name) and x.size == size
    ]
    return found[0] if len(found) == 1 else None


def _readable(name: str, tensors: Tensors, decoder: str | None) -> None:
    """Raise ConfigError for weights that are quantised or are not floating-point numbers."""
    for n, dtype in tensors.dtypes.items():
        if QUANTISED.search(n.lower()):
            raise ConfigError(f"{name}: {n}", "quantised weights", "floats (dequantise them first)")
        vector = len(tensors.shapes[n]) < 2
        named = known_axes(n, "vector") if vector else role(n) in ("decoder", "encoder")
        if dtype not in FLOATS and (named or n == decoder):
            raise ConfigError(f"{name}: {n}", dtype, ALLOWED_TYPES)


def _finite(field: str, values: Array, may_be_infinite: bool) -> Array:
    """`values`; raises ConfigError for NaN, and for infinities where these are not allowed."""
    bad = np.isnan(values) if may_be_infinite else ~(abs(values) <= LARGEST)
    if bad.any():
        what = "NaN" if may_be_infinite else "NaN, infinite or above 1e150"
        raise ConfigError(field, f"{int(bad.sum())} {what}", "finite numbers")
    return values


def _checked(sae: Dictionary, vectors: dict[str, Array]) -> Dictionary:
    """`sae` with its `scaling_factor` applied, and with zero rows for latents that never fire.

    A decoder row is the direction that the latent writes, so a negative `scaling_factor` reverses
    it. A latent with an infinite threshold never fires. A note counts the dead latents.
    """
    rows, notes, m = sae.decoder, [*sae.notes], len(sae.decoder)
    scale = next((x for n, x in vectors.items() if n.endswith("scaling_factor")), np.ones(1))
    if len(scale) == m:
        rows = rows * scale[:, None]
    if negative := int((scale < 0).sum()):
        notes.append(
            f"{negative} latents have a negative scaling_factor, which reverses their rows"
        )
    never = np.zeros(m, dtype=bool)
    for name, values in vectors.items():
        if "threshold" in name and len(values) in (1, m):
            never |= values == np.inf
    rows = np.where(never[:, None], 0.0, rows)
    zero = ~rows.any(axis=1)
    if zero.all():
        raise ConfigError(f"{sae.name}: decoder", "all zeros", "a latent that is not zero")
    if zero.any():
        why = f"{int((zero & ~never).sum())} decoder rows of zero"
        why += f", {int(never.sum())} infinite thresholds" * bool(never.any())
        notes.append(f"{int(zero.sum())} of {m} latents are dead: {why}")
    return sae._replace(decoder=rows, notes=tuple(notes))


def of_stack(name: str, stack: SAEStack) -> list[Dictionary]:
    """One SAE for each seed of `stack`; `name` comes before the seed in their names."""
    params = {
        n: _finite(f"{name}: {n}", p.double().cpu().numpy(), may_be_infinite="threshold" in n)
        for n, p in stack.params.items()
    }
    rows, encoders = params["w_dec"], params["w_enc"]
    paired = encoders.shape == rows.shape
    unread = f"the encoder of {stack.config.arch} is not read: it has no row for each latent"
    notes = () if paired else (unread,)
    declared = Declared(architectures=(stack.config.arch,))
    found = []
    for i, seed in enumerate(stack.seeds):
        own = {n: np.atleast_1d(p[i]) for n, p in params.items()}
        sae = Dictionary(
            f"{name} seed {seed}",
            rows[i],
            encoders[i] if paired else None,
            declared,
            notes,
            own["b_enc"] if paired and "b_mag" not in own else None,
            own["b_dec"],
        )
        found.append(_checked(sae, {n: x for n, x in own.items() if "threshold" in n}))
    return found
