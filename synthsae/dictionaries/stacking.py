"""Decoders of several SAEs side by side, for the scores that compare seeds."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from synthsae.arrays import Array, Mask
from synthsae.checks import ConfigError, in_range
from synthsae.definitions import DEFAULTS, Definitions
from synthsae.dictionaries.files import Dictionary
from synthsae.geometry import unit
from synthsae.metrics.copies import copies
from synthsae.scores.run import Dictionaries


def stacked(
    saes: Sequence[Dictionary],
    live: Path | ArrayLike | None = None,
    absolute: bool = False,
    definitions: Definitions = DEFAULTS,
) -> Dictionaries:
    """The decoders of several SAEs as one array, with smaller SAEs padded by dead rows.

    An SAE that copies an earlier one, latent by latent and up to rounding, is left out, because it
    would count as agreement. A latent whose decoder row is zero is dead.

    Args:
        saes: two or more SAEs with the same d_model.
        live: firing rates of all `saes`, [S, M], or booleans that are true for live latents; an
            array or an `.npy` file. None: the rates that are stored with an SAE; without these,
            all latents are live whose decoder rows are not zero.
        absolute: compare by absolute cosines. These are used in any case where the configs say
            that codes have either sign.
        definitions: what live, member and the other terms mean.

    Raises:
        ConfigError: fewer than two SAEs that are not copies; only some SAEs have codes of either
            sign; d_model differs; an SAE without a live latent; `live` does not fit.
    """
    if len(saes) < 2:
        raise ConfigError("SAEs", [s.name for s in saes], "two or more")
    width = {s.name: s.decoder.shape[1] for s in saes}
    if len(set(width.values())) > 1:
        raise ConfigError("d_model", width, "one d_model for all SAEs")
    absolute = absolute or _symmetric(saes)
    names, m = _numbered([s.name for s in saes]), max(len(s.decoder) for s in saes)
    rows = unit(np.stack([_padded(_scaled(s.decoder), m) for s in saes]))
    alive: Mask = np.any(rows != 0, axis=2)
    fires, rates = _firing(saes, live, alive.shape, definitions.live)
    alive &= fires
    for sae, on in zip(saes, alive, strict=True):
        if not on.any():
            raise ConfigError(sae.name, "no live latent", "one or more")
    groups = copies(rows, absolute)
    kept = [group[0] for group in groups]
    same = tuple(tuple(names[i] for i in group) for group in groups if len(group) > 1)
    if len(kept) < 2:
        raise ConfigError("SAEs", same[0], "two or more that are not copies of one another")
    encoders, notes = _encoders([saes[i] for i in kept], m)
    for name, sae in zip(names, saes, strict=True):
        notes += [f"{name}: {note}" for note in sae.notes]
        if live is None and sae.rates is not None:
            rare = int((sae.rates < definitions.live).sum())
            notes.append(f"{name}: {rare} latents fire less often than {definitions.live:g}")
        if not absolute and (unknown := ", ".join(sae.declared.unknown)):
            notes.append(f"{name}: architecture {unknown} is not known: signed cosines are used")
    return Dictionaries(
        tuple(names[i] for i in kept),
        rows[kept],
        alive[kept],
        encoders,
        absolute,
        tuple(len(saes[i].decoder) for i in kept),
        same,
        tuple(notes),
        definitions,
        None if rates is None else rates[kept],
    )


def _scaled(rows: Array) -> Array:
    """Rows scaled by powers of two so that their squares do not underflow."""
    exponent = np.frexp(abs(rows).max(axis=1, keepdims=True, initial=0))[1]
    return np.ldexp(rows, -exponent)


def _symmetric(saes: Sequence[Dictionary]) -> bool:
    """Whether the codes of all SAEs have either sign; raises ConfigError where only some do."""
    found = {s.name: s.declared.symmetric for s in saes}
    if len(set(found.values())) > 1:
        some = [name for name, symmetric in found.items() if symmetric]
        allowed = "all SAEs or none with codes of either sign (--absolute ignores signs)"
        raise ConfigError("architecture", some, allowed)
    return all(found.values())


def _encoders(saes: Sequence[Dictionary], m: int) -> tuple[Array | None, list[str]]:
    """Encoder rows of all SAEs, [S, m, d_in]; or None, and a note that says why."""
    present = [s for s in saes if s.encoder is not None]
    widths = {s.encoder.shape[1] for s in present if s.encoder is not None}
    if len(present) < len(saes) or len(widths) > 1:
        why = f"encoders are not compared: {len(present)} of {len(saes)} SAEs have one"
        why += f", of widths {sorted(widths)}" * (len(widths) > 1)
        return None, [why] * bool(present)
    return np.stack([_padded(s.encoder, m) for s in present if s.encoder is not None]), []


def _padded(rows: Array, m: int) -> Array:
    """Rows [n, D] with zero rows appended, [m, D]."""
    return np.concatenate([rows, np.zeros((m - len(rows), rows.shape[1]))])


def _firing(
    saes: Sequence[Dictionary], live: Path | ArrayLike | None, shape: tuple[int, ...], least: float
) -> tuple[Mask, Array | None]:
    """Which latents fire often enough, [S, M], and the firing rates by which this is known.

    An SAE whose rates are not known has rates of NaN, and all of its latents count as firing.
    """
    if live is None:
        rates = _stored(saes, shape)
    else:
        given = _given(live, shape)
        if given.dtype == bool:
            return given, None
        rates = in_range("--live", given, 0, 1)
    return ~(rates < least), None if np.isnan(rates).all() else rates


def _stored(saes: Sequence[Dictionary], shape: tuple[int, ...]) -> Array:
    """Firing rates that are stored with the SAEs, [S, M], 0 for padding; NaN where none are."""
    rates = np.full(shape, np.nan)
    for row, sae in zip(rates, saes, strict=True):
        if sae.rates is not None:
            row[:] = 0
            row[: len(sae.rates)] = sae.rates
    return rates


def _given(live: Path | ArrayLike, shape: tuple[int, ...]) -> NDArray[Any]:
    """Firing rates or booleans of a file or an array, [S, M]."""
    try:
        values = np.load(live, allow_pickle=False) if isinstance(live, Path) else np.asarray(live)
    except (OSError, ValueError) as error:
        raise ConfigError("--live", str(live), "an .npy file without pickles") from error
    if values.shape != shape or values.dtype.kind not in "bf":
        allowed = f"firing rates or booleans of shape {shape}"
        raise ConfigError("--live", f"{values.dtype} of shape {values.shape}", allowed)
    return values


def _numbered(names: Sequence[str]) -> tuple[str, ...]:
    """The names, with a number behind each that occurs more than once."""
    return tuple(
        name if names.count(name) == 1 else f"{name} ({names[: i + 1].count(name)})"
        for i, name in enumerate(names)
    )
