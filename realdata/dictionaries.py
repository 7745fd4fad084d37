"""Decoders of SAEs that are there already: SAELens folders, our stacks, other safetensors files.

Rows are latents here. A file's own layout follows from the name of the tensor:

| name                     | layout              | written by, for instance        |
|--------------------------|---------------------|---------------------------------|
| `W_dec`, `dictionary`    | [M, D]              | SAELens, sparsify; overcomplete |
| `decoder.weight`         | [D, M], `nn.Linear` | dictionary_learning             |
| `w_dec` with three axes  | [S, M, D]           | `SAEStack.save`                 |

Encoders are read where they stand beside it: `W_enc` [D, M] and `encoder.weight` [M, D]. Nothing
is unpickled.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from synthsae.checks import ConfigError
from synthsae.geometry import Array, unit
from synthsae.metrics import function
from synthsae.results import Dictionaries
from synthsae.sae import SAEStack

DECODERS = {"W_dec": False, "dictionary": False, "decoder.weight": True}
"""Names of decoders, and whether they are [D, M]."""

BIASES = {"b_dec": 1, "decoder.bias": 1, "bias": 1, "b_enc": 0, "encoder.bias": 0}
"""Names of biases, and the axis of the decoder [M, D] that is as long."""

ENCODERS = {"W_enc": True, "encoder.weight": False}
PICKLES = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")


class Dictionary(NamedTuple):
    """One SAE: its name, decoder rows [M, D], and encoder rows [M, D] or None."""

    name: str
    decoder: Array
    encoder: Array | None


def read(path: str | Path, decoder: str | None = None, transpose: bool = False) -> list[Dictionary]:
    """The SAEs in a folder or file; a stack of ours has one for each seed.

    `decoder` names the tensor where the table has no name of the file's; it is [M, D], or [D, M]
    with `transpose`, which also turns over what the table says. Raises ConfigError for a pickle,
    for what cannot be read or does not fit, and for a decoder that is zero or not finite.
    """
    file = _file(Path(path))
    try:
        with safe_open(file, framework="pt") as f:
            ours = {"config", "seeds"} <= set(f.metadata() or {})
            found = [] if ours else [_single(str(path), f, decoder, transpose)]
    except (SafetensorError, OSError) as error:
        raise ConfigError(str(file), str(error), "a whole safetensors file") from error
    found = found or _seeds(str(path), SAEStack.load(file))
    for sae in found:
        _check(sae)
    return found


def stacked(saes: Sequence[Dictionary], live: Path | None = None) -> Dictionaries:
    """SAEs side by side: smaller ones are filled up with dead rows, zero rows are dead.

    `live` is an `.npy` file with firing rates, or true for live latents, [S, M]. Raises ConfigError
    for fewer than two SAEs, a different d_model, and a `live` that does not fit.
    """
    if len(saes) < 2:
        raise ConfigError("SAEs", [s.name for s in saes], "two or more")
    width = {s.name: s.decoder.shape[1] for s in saes}
    if len(set(width.values())) > 1:
        raise ConfigError("d_model", width, "one d_model for all SAEs")
    m = max(len(s.decoder) for s in saes)
    rows = unit(np.stack([_filled(s.decoder, m) for s in saes]))
    alive: NDArray[np.bool_] = np.any(rows != 0, axis=2)
    if live is not None:
        alive &= _live(live, alive.shape)
    for sae, on in zip(saes, alive, strict=True):
        if not on.any():
            raise ConfigError(sae.name, "no live latent", "one or more")
    encoders = [_filled(s.encoder, m) for s in saes if s.encoder is not None]
    both = np.stack(encoders) if len(encoders) == len(saes) else None
    return Dictionaries(_distinct([s.name for s in saes]), rows, alive, both)


def _file(path: Path) -> Path:
    """The safetensors file that `path` is, or the one in that folder."""
    if path.is_dir():
        files = sorted(path.glob("*.safetensors"))
        named = [f for f in files if f.name == "sae_weights.safetensors"]
        if len(named or files) != 1:
            there = sorted(f.name for f in path.iterdir())
            allowed = "a folder with one .safetensors file; pickles are not read"
            raise ConfigError(str(path), there, allowed)
        return (named or files)[0]
    if path.suffix in PICKLES:
        raise ConfigError(str(path), "a pickle", "safetensors: a pickle can run any code")
    if not path.is_file():
        raise ConfigError(str(path), "not there", "a SAELens folder, or a .safetensors file")
    return path


def _single(name: str, f: Any, decoder: str | None, transpose: bool) -> Dictionary:
    """The decoder of an open safetensors file, and its encoder if there is one that fits."""
    shapes = {n: tuple(f.get_slice(n).get_shape()) for n in f.keys()}  # noqa: SIM118
    tables = [n for n, shape in shapes.items() if len(shape) == 2]
    which = decoder or next((n for n in DECODERS if n in tables), None)
    if which is None or which not in tables:
        there = ", ".join(f"{n} {list(shapes[n])}" for n in tables) or "no table of numbers"
        raise ConfigError(f"{name}: --decoder", which, f"{there} (and --transpose if [D, M])")
    rows = _table(f, which, DECODERS.get(which, False) != transpose)
    for bias, axis in BIASES.items():
        if len(shapes.get(bias, ())) == 1 and shapes[bias][0] != rows.shape[axis]:
            fits = f"{'MD'[axis]} = {shapes[bias][0]}, as {bias} has: --transpose turns it over"
            raise ConfigError(f"{name}: {which} as [M, D]", rows.shape, fits)
    encoder = next((n for n in ENCODERS if n in tables and n != which), None)
    other = _table(f, encoder, ENCODERS[encoder]) if encoder else None
    fits_too = other is not None and other.shape == rows.shape
    return Dictionary(name, rows, other if fits_too else None)


def _table(f: Any, name: str, columns: bool) -> Array:
    """A tensor with latents as its rows."""
    values = f.get_tensor(name).double().numpy()
    return values.T if columns else values


def _seeds(name: str, stack: SAEStack) -> list[Dictionary]:
    """Every seed of a stack of ours."""
    rows = stack.params["w_dec"].double().numpy()
    encoders = stack.params["w_enc"].double().numpy()
    paired = encoders if encoders.shape == rows.shape else [None] * len(rows)
    return [
        Dictionary(f"{name} seed {seed}", w, e)
        for seed, w, e in zip(stack.seeds, rows, paired, strict=True)
    ]


def _check(sae: Dictionary) -> None:
    for part, values in (("decoder", sae.decoder), ("encoder", sae.encoder)):
        bad = 0 if values is None else int((~np.isfinite(values)).sum())
        if bad:
            raise ConfigError(f"{sae.name}: {part}", f"{bad} NaN or infinite", "finite numbers")
    if not sae.decoder.any():
        raise ConfigError(f"{sae.name}: decoder", "all zeros", "a latent that is not zero")


def _filled(rows: Array, m: int) -> Array:
    """Rows [n, D] and zeros below, [m, D]."""
    return np.concatenate([rows, np.zeros((m - len(rows), rows.shape[1]))])


def _live(path: Path, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """Live latents from a file of rates or of true and false."""
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise ConfigError("--live", str(path), "an .npy file, no pickle") from error
    if values.shape != shape or values.dtype.kind not in "bf":
        allowed = f"rates, or true and false, of shape {shape}"
        raise ConfigError("--live", f"{values.dtype} of shape {values.shape}", allowed)
    return values if values.dtype == bool else function.live(values)


def _distinct(names: Sequence[str]) -> tuple[str, ...]:
    """The names, numbered where one comes twice."""
    return tuple(
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    )
