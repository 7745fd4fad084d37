"""Decoders of SAEs that are there already: SAELens folders, our stacks, other safetensors or npz.

Rows are latents here. `realdata.layout` says which tensors are read and which way round,
`realdata.sae_config` what the config beside them says. Nothing is unpickled.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from realdata.saes.config import Declared, read_configs
from realdata.saes.layout import kind, known, layout
from realdata.saes.tensors import FLOATS, Tensors
from synthsae.arrays import Array
from synthsae.checks import ConfigError
from synthsae.sae import SAEStack

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
        declared: what its config says.
        notes: what its reader should know, a line each.
    """

    name: str
    decoder: Array
    encoder: Array | None
    declared: Declared = Declared()
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
    declared = read_configs(tensors.path, tensors.metadata)
    shapes = {n: s for n, s in tensors.shapes.items() if tensors.dtypes[n] in FLOATS}
    found = layout(name, shapes, declared, decoder, transpose)
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
    return _checked(Dictionary(name, decoded, encoder, declared, found.notes), vectors)


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
    declared = Declared(architectures=(stack.config.arch,))
    return [
        _checked(
            Dictionary(f"{name} seed {seed}", w, e if paired else None, declared, notes),
            {n: np.atleast_1d(p[i]) for n, p in params.items() if "threshold" in n},
        )
        for i, (seed, w, e) in enumerate(zip(stack.seeds, rows, encoders, strict=True))
    ]
