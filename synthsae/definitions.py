"""Thresholds that define the terms of a result: live, found, stable, member and others.

They are fields of every config. A study can vary them as an axis, and every Dataset records them. A
training does not depend on them. `DEFAULTS` are also the defaults in `metrics` and `theory`.
"""

from dataclasses import dataclass, field

from synthsae.checks import ConfigError, typed, within


def _field(default: float, text: str) -> float:
    value: float = field(default=default, metadata={"help": text})
    return value


def _inside(name: str, value: float) -> None:
    if not 0 < value < 1:
        raise ConfigError(name, value, "above 0, below 1")


@dataclass(frozen=True)
class Definitions:
    """Thresholds that define the terms of a result.

    Sources of the defaults: Gerasimov et al. (arXiv 2606.12138) for `theta`, `stable`, `unstable`
    and `duplicate`; Wyatt (2026) for `same`. The other values are ours.
    """

    theta: float = _field(0.7, "cosine from which a latent has a counterpart in another seed")
    live: float = _field(1e-4, "share of the held-out samples on which a live latent fires, least")
    member: float = _field(0.5, "share of its energy in a block from which a latent is the block's")
    stable: float = _field(0.95, "p_hat from which a latent is stable")
    unstable: float = _field(0.05, "p_hat up to which a latent is unstable")
    duplicate: float = _field(0.9, "cosine from which one of two latents is dropped from a pool")
    same: float = _field(
        0.9, "cosine (of subspaces: overlap) from which two directions are the same one"
    )
    energy: float = _field(
        0.9, "share of the energy of a class's latents that the subspace it lives in holds"
    )

    def __post_init__(self) -> None:
        typed("definitions.", self)
        for name in ("theta", "energy"):  # 1 would make caps points, and a subspace all of R^D
            _inside(f"definitions.{name}", getattr(self, name))
        for name in ("live", "member", "stable", "duplicate", "same"):
            within(f"definitions.{name}", getattr(self, name), 0, 1, strict=True)
        within("definitions.unstable", self.unstable, 0)
        if not self.unstable < self.stable:
            allowed = f"below definitions.stable, {self.stable:g}"
            raise ConfigError("definitions.unstable", self.unstable, allowed)


DEFAULTS = Definitions()
"""The default thresholds."""


def shown(value: float) -> str:
    """A threshold as text, without a leading zero: .7, 1e-4."""
    if 0 < value < 1e-3:
        digits, _, exponent = f"{value:e}".partition("e")
        return f"{float(digits):g}e{int(exponent)}"
    return f"{value:g}".removeprefix("0") if value else "0"


def percent(value: float) -> str:
    """A share as a percentage: 90%."""
    return f"{100 * value:.4g}%"


def part(value: float) -> str:
    """A share as a percentage, or "half" for .5."""
    return "half" if value == 0.5 else percent(value)
