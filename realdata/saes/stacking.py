"""Decoders of several SAEs side by side, for the scores that compare seeds."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from realdata.saes.files import Dictionary
from synthsae.arrays import Array
from synthsae.checks import ConfigError
from synthsae.definitions import DEFAULTS, Definitions
from synthsae.geometry import unit
from synthsae.metrics import function
from synthsae.metrics.copies import copies
from synthsae.scores.run import Dictionaries


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
        if not absolute and (unknown := ", ".join(sae.declared.unknown)):
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


def _scaled(rows: Array) -> Array:
    """Rows times powers of two, which change no direction: their squares do not underflow."""
    exponent = np.frexp(abs(rows).max(axis=1, keepdims=True, initial=0))[1]
    return np.ldexp(rows, -exponent)


def _symmetric(saes: Sequence[Dictionary]) -> bool:
    """Whether latents have either sign in all SAEs; raises ConfigError if only in some."""
    found = {s.name: s.declared.symmetric for s in saes}
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
