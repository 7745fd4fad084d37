"""Requirements of scores and studies, checked when a study is planned, before any training.

A score declares its requirements with `requires`; a cell that lacks one of them leaves the score
out. The requirements of a study's figure are `Need`s: functions of the configs of all cells that
raise ConfigError.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, TypeVar

from synthsae.checks import ConfigError, one_of
from synthsae.config import Config
from synthsae.sae import ARCHITECTURES, SAEConfig
from synthsae.scores.run import Score

F = TypeVar("F", bound=Callable[..., Any])
Need = Callable[[Sequence[Config]], None]


@cache
def _has_encoders(config: SAEConfig) -> bool:
    """Whether every latent has an encoder row of its own."""
    params = ARCHITECTURES[config.arch](config).init(1, 0)
    return "w_enc" in params and len(params["w_enc"]) == len(params["w_dec"])


THINGS: dict[str, Callable[[Config], bool]] = {
    "stack": lambda config: True,
    "encoders": lambda config: _has_encoders(config.sae.for_width(config.d_model)),
    "tokens": lambda config: config.source.kind == "model",
    "planted": lambda config: config.planted,
    "blocks": lambda config: config.planted and config.world.n_blocks > 0,
    "atoms": lambda config: _has_blocks(config, "sparse"),
    "axes": lambda config: _has_blocks(config, "generalised_normal"),
    "isolated features": lambda config: config.planted and config.world.n_isolated > 0,
    "features": lambda config: config.planted and n_features(config) > 0,
    "independent gates": lambda config: (
        config.planted
        and not (config.world.correlation or config.world.correlation_groups)
        and not config.world.n_trees
        and config.world.blocks_per_gate == 1
    ),
    "separate blocks": lambda config: (
        config.world.block_angle == 90 and config.world.blocks_per_gate == 1
    ),
    "no circles": lambda config: config.world.n_circles == 0,
}
"""What a score may need, and whether a cell has it.

| name | what a cell has |
| --- | --- |
| stack | the trained SAEs, not only their decoder rows and firing rates |
| encoders | an encoder row for each latent |
| tokens | the text under the activations |
| planted | a planted world |
| blocks | planted blocks |
| atoms | planted blocks under the sparse law, whose codes are sums of atoms |
| axes | planted blocks under the generalised-normal law, whose codes have axes of their own |
| isolated features | planted isolated features |
| features | planted isolated features or atoms |
| independent gates | planted features and blocks that fire independently of each other |
| separate blocks | no planted blocks that overlap or share a gate |
| no circles | no planted circles |
"""


def _has_blocks(config: Config, law: str) -> bool:
    """Whether there are planted blocks, and their codes have that law."""
    return config.planted and config.world.n_blocks > 0 and config.world.law == law


def n_features(config: Config) -> int:
    """Number of planted features: isolated ones and atoms."""
    world = config.world
    atoms = (world.n_atoms or world.rank) * world.n_blocks if world.law == "sparse" else 0
    return world.n_isolated + atoms


def requires(*things: str) -> Callable[[F], F]:
    """Decorator: the score needs all of these `THINGS`, and is left out of cells that lack one."""
    for thing in things:
        one_of("requires", thing, THINGS)

    def declare(score: F) -> F:
        score.needs = things  # type: ignore[attr-defined]
        return score

    return declare


def needs_of(score: Score) -> tuple[str, ...]:
    """The `THINGS` that a score has declared; () if none."""
    return getattr(score, "needs", ())


def lacking(score: Score, config: Config) -> list[str]:
    """The `THINGS` that a score needs and a cell of `config` lacks."""
    return [thing for thing in needs_of(score) if not THINGS[thing](config)]


def fitting(scores: Sequence[Score], config: Config) -> list[Score]:
    """The scores that can be computed on a cell of `config`."""
    return [score for score in scores if not lacking(score, config)]


def left_out(scores: Sequence[Score], configs: Sequence[Config]) -> list[str]:
    """Lines that say which scores are left out of which cells, one for each reason.

    Raises ConfigError if a cell would have no score.
    """
    for config in configs:
        if scores and not fitting(scores, config):
            short = sorted({thing for m in scores for thing in lacking(m, config)})
            allowed = f"one that needs no {' or '.join(short)}: of {config.kind.what} none is left"
            raise ConfigError("scores", ", ".join(map(short_name, scores)), allowed)
    why: dict[tuple[str, int], list[str]] = {}
    for score in scores:
        cells = [short for config in configs if (short := lacking(score, config))]
        if cells:
            things = in_list(sorted({thing for short in cells for thing in short}))
            why.setdefault((things, len(cells)), []).append(short_name(score))
    return [
        f"left out{'' if n == len(configs) else f' of {n} cells'}: {', '.join(names)}, "
        f"{'needs' if len(names) == 1 else 'need'} {things}"
        for (things, n), names in why.items()
    ]


def short_name(score: Score) -> str:
    """The name of a score without its module."""
    return getattr(score, "__name__", repr(score))


def in_list(words: Sequence[str]) -> str:
    """Words as a list: a, b and c."""
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def blocks(configs: Sequence[Config]) -> None:
    """Need: planted blocks in every cell."""
    _more_than_none("world.n_blocks", configs)


def isolated(configs: Sequence[Config]) -> None:
    """Need: isolated features in every cell."""
    _more_than_none("world.n_isolated", configs)


def where_planted(need: Need) -> Need:
    """`need`, applied only to cells with a planted world."""

    def some(configs: Sequence[Config]) -> None:
        need([config for config in configs if config.planted])

    return some


def one_law(law: str) -> Need:
    """Need: blocks with the law `law` in every cell."""

    def need(configs: Sequence[Config]) -> None:
        blocks(configs)
        for config in configs:
            if config.world.law != law:
                raise ConfigError("world.law", config.world.law, f"{law}: the study is about it")

    return need


def several(field: str) -> Need:
    """Need: two or more values of a field, over all cells."""

    def need(configs: Sequence[Config]) -> None:
        values = {config.get(field) for config in configs}
        if len(values) < 2:
            text = "two values or more: the study compares them"
            raise ConfigError(field, ", ".join(map(str, values)), text)

    return need


def each_of(field: str, *wanted: str) -> Need:
    """Need: a cell with each of the `wanted` values of a field."""

    def need(configs: Sequence[Config]) -> None:
        values = {config.get(field) for config in configs}
        if not values >= set(wanted):
            allowed = f"{' and '.join(wanted)}: the study compares them"
            raise ConfigError(field, ", ".join(sorted(values)), allowed)

    return need


def _more_than_none(field: str, configs: Sequence[Config]) -> None:
    for config in configs:
        if not config.planted:
            source = config.source.kind
            text = f"none, as the study needs a planted world, with {field} of 1 or more"
            raise ConfigError(f"source.{source}", config.get(f"source.{source}"), text)
        if config.get(field) == 0:
            raise ConfigError(field, 0, "1 or more: the study is about them")
