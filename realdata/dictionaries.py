"""Decoders of SAEs that are there already: SAELens folders, our stacks, other safetensors or npz.

Rows are latents here. `realdata.layout` says which tensors are read and which way round,
`realdata.sae_config` what the config beside them says. Nothing is unpickled.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from realdata import sae_config
from realdata.layout import kind, known, layout
from realdata.sae_config import Said
from realdata.tensors import FLOATS, Tensors
from synthsae.arrays import Array
from synthsae.checks import ConfigError
from synthsae.definitions import DEFAULTS, Definitions
from synthsae.geometry import unit
from synthsae.metrics import function
from synthsae.metrics.copies import copies
from synthsae.sae import SAEStack
from synthsae.scores.run import Dictionaries

PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")
SHARD = re.compile(r"-\d+-of-0*([2-9]|[1-9]\d+)\b")
QUANTISED = re.compile(
    r"(^|[._])(qweight|qzeros|g_idx|(nested_)?absmax|quant_(map|state)|scb|weight_(scale|packed)"
    r"|(weight_)?zero_point|weight_scale_inv)($|[._])"
)
"""Tensors that packed weights have beside them, by bitsandbytes, GPTQ and others."""

LARGEST = 1e150
"""Numbers whose squares do not overflow."""


class Dictionary(NamedTuple):
    """One SAE.

    Attributes:
        name: what it is called in reports.
        decoder: decoder rows, [M, D]; zero where a latent never fires.
        encoder: encoder rows, [M, d_in], or None.
        said: what its config says.
        notes: what its reader should know, a line each.
    """

    name: str
    decoder: Array
    encoder: Array | None
    said: Said = Said()
    notes: tuple[str, ...] = ()


def read(path: str | Path, decoder: str | None = None, transpose: bool = False) -> list[Dictionary]:
    """The SAEs in a folder or file; a stack of ours has one for each seed.

    `decoder` names the tensor where no known name is the right one: it is [M, D], or [D, M] with
    `transpose`, which also turns over what a known name says. Raises ConfigError for a pickle, for
    what cannot be read, for names, shapes and a config that contradict one another, for types that
    are no floating-point numbers, and for a decoder that is zero or not finite.
    """
    name = shown(path)
    file = _file(Path(path), name)
    tensors = Tensors.open(file)
    if {"config", "seeds"} <= set(tensors.metadata):
        return _seeds(name, SAEStack.load(file))
    return [_single(name, tensors, decoder, transpose)]


def stacked(
    saes: Sequence[Dictionary],
    live: Path | None = None,
    absolute: bool = False,
    definitions: Definitions = DEFAULTS,
) -> Dictionaries:
    """SAEs side by side: smaller ones are filled up with dead rows, zero rows are dead.

    An SAE that is a copy of an earlier one, latent by latent and up to rounding, is left out: it
    would count as agreement. Cosines are absolute where the SAEs' codes have either sign, by
    their configs, or with `absolute`.

    `live` is an `.npy` file with firing rates, or true for live latents, [S, M], of all `saes`.
    What live and the other words mean is in `definitions`.
    Raises ConfigError for fewer than two SAEs that are no copies, for SAEs of which only some have
    codes of either sign, for a different d_model, and for a `live` that does not fit.
    """
    if len(saes) < 2:
        raise ConfigError("SAEs", [s.name for s in saes], "two or more")
    width = {s.name: s.decoder.shape[1] for s in saes}
    if len(set(width.values())) > 1:
        raise ConfigError("d_model", width, "one d_model for all SAEs")
    absolute = absolute or _symmetric(saes)
    names, m = _distinct([s.name for s in saes]), max(len(s.decoder) for s in saes)
    rows = unit(np.stack([_filled(_scaled(s.decoder), m) for s in saes]))
    alive: NDArray[np.bool_] = np.any(rows != 0, axis=2)
    if live is not None:
        alive &= _live(live, alive.shape, definitions.live)
    for sae, on in zip(saes, alive, strict=True):
        if not on.any():
            raise ConfigError(sae.name, "no live latent", "one or more")
    groups = copies(rows, absolute)
    kept = [group[0] for group in groups]
    same = tuple(tuple(names[i] for i in group) for group in groups if len(group) > 1)
    if len(kept) < 2:
        raise ConfigError("SAEs", same[0], "two or more that are not copies of one another")
    both, notes = _encoders([saes[i] for i in kept], m)
    for name, sae in zip(names, saes, strict=True):
        notes += [f"{name}: {note}" for note in sae.notes]
        if not absolute and (unknown := ", ".join(sae.said.unknown)):
            notes.append(f"{name}: architecture {unknown} is not known: signed cosines are used")
    return Dictionaries(
        tuple(names[i] for i in kept),
        rows[kept],
        alive[kept],
        both,
        absolute,
        tuple(len(saes[i].decoder) for i in kept),
        same,
        tuple(notes),
        definitions,
    )


def shown(path: str | Path) -> str:
    """A path as text that can be printed and stored, whatever bytes it has."""
    text = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _file(path: Path, name: str) -> Path:
    """The file of weights that `path` is, or the one in that folder."""
    try:
        if path.is_dir():
            path = _in_folder(path, name)
        if path.suffix in PICKLES:
            raise ConfigError(name, "a pickle", "safetensors: a pickle can run any code")
        if not path.is_file():
            allowed = "a SAELens folder, or a .safetensors or .npz file"
            raise ConfigError(name, "not there", allowed)
    except OSError as error:
        raise ConfigError(name, str(error.strerror), "a folder or file to be read") from error
    if SHARD.search(path.name):
        raise ConfigError(name, "one of several shards", "a single file: merge the shards")
    return path


def _in_folder(folder: Path, name: str) -> Path:
    """The one file of weights in a folder: safetensors, or else npz."""
    there = sorted(f for f in folder.iterdir() if f.is_file())
    for ending in (".safetensors", ".npz"):
        files = [f for f in there if f.suffix == ending]
        if files := [f for f in files if f.name == "sae_weights.safetensors"] or files:
            break
    if len(files) != 1:
        names = [shown(f.name) for f in there]
        names = [*names[:8], f"... {len(names)} files"] if len(names) > 8 else names
        allowed = "a folder with one .safetensors or .npz file; pickles and shards are not read"
        raise ConfigError(name, names, allowed)
    return files[0]


def _single(name: str, tensors: Tensors, decoder: str | None, transpose: bool) -> Dictionary:
    """The SAE of a file that is not ours."""
    _readable(name, tensors, decoder)
    said = sae_config.said(tensors.path, tensors.metadata)
    shapes = {n: s for n, s in tensors.shapes.items() if tensors.dtypes[n] in FLOATS}
    found = layout(name, shapes, said, decoder, transpose)
    values, vectors = {}, {}
    for n in shapes:
        rows = n in (found.decoder, found.encoder)
        endless = "threshold" in n.lower() and not rows
        numbers = _finite(f"{name}: {n}", tensors.get(n), endless)
        if rows:
            values[n] = numbers
        elif axis := known(n, "vector"):
            vectors[n.rsplit(".", 1)[-1].lower()] = numbers.ravel() if axis == "M" else numbers
    decoded = values[found.decoder].T if found.turned else values[found.decoder]
    encoder = None if found.encoder is None else values[found.encoder]
    if encoder is not None and found.encoder_turned:
        encoder = encoder.T
    return _checked(Dictionary(name, decoded, encoder, said, found.notes), vectors)


def _readable(name: str, tensors: Tensors, decoder: str | None) -> None:
    """Raise ConfigError for weights that are packed, or are no real numbers."""
    for n, dtype in tensors.dtypes.items():
        if QUANTISED.search(n.lower()):
            raise ConfigError(f"{name}: {n}", "quantised weights", "dequantised ones, as floats")
        vector = len(tensors.shapes[n]) < 2
        named = known(n, "vector") if vector else kind(n) in ("decoder", "encoder")
        if dtype not in FLOATS and (named or n == decoder):
            allowed = f"{', '.join(FLOATS)}: dequantise it where it was made"
            raise ConfigError(f"{name}: {n}", dtype, allowed)


def _finite(field: str, values: Array, endless: bool) -> Array:
    """`values`, which are finite; those of a threshold may be infinite, but not NaN."""
    bad = np.isnan(values) if endless else ~(abs(values) <= LARGEST)
    if bad.any():
        what = "NaN" if endless else "NaN, infinite or above 1e150"
        raise ConfigError(field, f"{int(bad.sum())} {what}", "finite numbers")
    return values


def _checked(sae: Dictionary, vectors: dict[str, Array]) -> Dictionary:
    """An SAE whose rows of latents that never fire are zero, and are counted.

    Rows point where the latent writes, so a `scaling_factor` below 0 turns them over.
    """
    rows, notes, m = sae.decoder, [*sae.notes], len(sae.decoder)
    scale = vectors.get("scaling_factor", np.ones(1))
    if len(scale) == m:
        rows = rows * scale[:, None]
    if negative := int((scale < 0).sum()):
        notes.append(f"{negative} latents have a negative scaling_factor, which turns them over")
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


def _scaled(rows: Array) -> Array:
    """Rows times powers of two, which change no direction: their squares do not underflow."""
    exponent = np.frexp(abs(rows).max(axis=1, keepdims=True, initial=0))[1]
    return np.ldexp(rows, -exponent)


def _seeds(name: str, stack: SAEStack) -> list[Dictionary]:
    """Every seed of a stack of ours."""
    params = {
        n: _finite(f"{name}: {n}", p.double().numpy(), endless="threshold" in n)
        for n, p in stack.params.items()
    }
    rows, encoders = params["w_dec"], params["w_enc"]
    paired = encoders.shape == rows.shape
    lost = f"the encoder of {stack.config.arch} is not read: it has no row for each latent"
    notes = () if paired else (lost,)
    said = Said(architectures=(stack.config.arch,))
    return [
        _checked(
            Dictionary(f"{name} seed {seed}", w, e if paired else None, said, notes),
            {n: np.atleast_1d(p[i]) for n, p in params.items() if "threshold" in n},
        )
        for i, (seed, w, e) in enumerate(zip(stack.seeds, rows, encoders, strict=True))
    ]


def _symmetric(saes: Sequence[Dictionary]) -> bool:
    """Whether latents have either sign in all SAEs; raises ConfigError if only in some."""
    found = {s.name: s.said.symmetric for s in saes}
    if len(set(found.values())) > 1:
        signs = [name for name, symmetric in found.items() if symmetric]
        allowed = "all SAEs or none with codes of either sign; --absolute compares lines"
        raise ConfigError("architecture", signs, allowed)
    return all(found.values())


def _encoders(saes: Sequence[Dictionary], m: int) -> tuple[Array | None, list[str]]:
    """Encoder rows of all SAEs, or none and why, where they are not to be compared."""
    there = [s for s in saes if s.encoder is not None]
    widths = {s.encoder.shape[1] for s in there if s.encoder is not None}
    if len(there) < len(saes) or len(widths) > 1:
        why = f"encoders are not compared: {len(there)} of {len(saes)} SAEs have one"
        why += f", of widths {sorted(widths)}" * (len(widths) > 1)
        return None, [why] * bool(there)
    return np.stack([_filled(s.encoder, m) for s in there if s.encoder is not None]), []


def _filled(rows: Array, m: int) -> Array:
    """Rows [n, D] and zeros below, [m, D]."""
    return np.concatenate([rows, np.zeros((m - len(rows), rows.shape[1]))])


def _live(path: Path, shape: tuple[int, ...], least: float) -> NDArray[np.bool_]:
    """Live latents from a file of rates or of true and false."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError("--live", str(path), "an .npy file, no pickle") from error
    if values.shape != shape or values.dtype.kind not in "bf":
        allowed = f"rates, or true and false, of shape {shape}"
        raise ConfigError("--live", f"{values.dtype} of shape {values.shape}", allowed)
    return values if values.dtype == bool else function.live(values, least)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, numbered where one comes twice."""
    return tuple(
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    )
