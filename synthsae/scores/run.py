"""A trained cell as arrays, and the labels that turn its scores into an xarray Dataset.

A score (`synthsae.scores`) is a function of a `Run` that returns a labelled Dataset. A study
names the scores it wants; their variables are merged.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from reprlib import repr as short
from typing import Any, TypeVar

import numpy as np
import xarray as xr
from numpy.typing import ArrayLike, NDArray

from synthsae import progress
from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown
from synthsae.config import Config
from synthsae.definitions import DEFAULTS, Definitions
from synthsae.evaluation import Evaluation, evaluate
from synthsae.metrics import reappearance, recovery, subspace
from synthsae.metrics.latent_rank import LatentRank, latent_rank
from synthsae.sae import SAEStack
from synthsae.train import ActivationSource, train
from synthsae.world import World
from synthsae.world.config import ELLIPTICAL

T = TypeVar("T")


def lawful(config: Config) -> bool:
    """Whether the assumptions of the coverage law hold (docs/science.md, section 5).

    Rotations inside a block do not change the law of an activation, latents have no reason to leave
    their block, and seeds share neither initial weights nor data. Latents may mix blocks that share
    a gate: Gaussian ones are one block of a higher rank.
    """
    world, train = config.world, config.train
    blocks = config.planted and world.n_blocks > 0
    normal = world.law == "generalised_normal" and world.beta == 2
    invariant = (world.law in ELLIPTICAL and world.spectrum == 1) or normal
    independent = train.init == train.data == "independent"
    alone = world.blocks_per_gate == 1 and world.block_angle == 90 and not world.leaning
    return blocks and invariant and alone and independent


@dataclass(frozen=True)
class Run:
    """A trained cell, from which its scores are computed.

    Attributes:
        config: the cell's configuration.
        source: where the activations come from: the planted world, or another source.
        seeds: the seeds whose loss stayed finite, [S]; all arrays are over these.
        frozen: each other seed -> the step at which its loss stopped being finite.
        evaluation: firing rates and explained variance on held-out samples.
        group_size: seeds that shared a matmul in training.
        stack: the trained SAEs, or None if only their evaluation is known.
    """

    config: Config
    source: ActivationSource
    seeds: tuple[int, ...]
    frozen: dict[int, int]
    evaluation: Evaluation
    group_size: int = 1
    stack: SAEStack | None = None

    def __repr__(self) -> str:
        what = f"seeds={short(self.seeds)}, frozen={short(self.frozen)}, stack={self.stack!r}"
        return f"Run({type(self.source).__name__}, {what})"

    @property
    def definitions(self) -> Definitions:
        """Thresholds that define live, found, stable and other terms."""
        return self.config.definitions

    @property
    def world(self) -> World:
        """The planted world. Raises ConfigError if the source is another one."""
        if not isinstance(self.source, World):
            raise ConfigError("source", Shown(type(self.source).__name__), "a planted World")
        return self.source

    @property
    def planted(self) -> bool:
        """Whether the source is a planted world."""
        return isinstance(self.source, World)

    @property
    def absolute(self) -> bool:
        """Whether a latent and its negative count as the same: never, for our architectures."""
        return False

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.source.d_model

    @property
    def bases(self) -> Array:
        """Orthonormal basis of each planted block, [G, D, R]; G = 0 without a planted world."""
        return self.world.bases if self.planted else np.zeros((0, self.d_model, 0))

    @property
    def directions(self) -> Array:
        """Unit decoder rows, [S, M, D]."""
        return self.evaluation.directions

    @cached_property
    def live(self) -> NDArray[np.bool_]:
        """Which latents are live, [S, M]."""
        return self.evaluation.live(self.definitions.live)

    @property
    def saes(self) -> SAEStack:
        """The trained SAEs. Raises ConfigError if `stack` is None."""
        if self.stack is None:
            raise ConfigError("stack", None, "the trained SAEs, as run_cell keeps them")
        return self.stack

    @property
    def encoders(self) -> Array | None:
        """Encoder rows, [S, M, D]; None without `stack` or without a row for each latent."""
        rows = self.stack.params["w_enc"] if self.stack else None
        if rows is None or rows.shape[1] != self.directions.shape[1]:
            return None
        return rows.cpu().numpy()

    @cached_property
    def found(self) -> NDArray[np.bool_]:
        """Whether a latent of the first seed has a counterpart in the second, [S, S, M]."""
        return reappearance.found(self.directions, self.definitions.theta, self.live)

    @cached_property
    def p_hat(self) -> Array:
        """Reappearance probability of every live latent, NaN for dead ones, [S, M]."""
        return reappearance.share_of_others(self.found)

    @cached_property
    def latent_rank(self) -> LatentRank:
        """Dimensions in which each latent may turn (`metrics.latent_rank`), [S, M]."""
        return latent_rank(self.directions, self.live)

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """Class of every latent by its p_hat (`reappearance.labels`), [S, M]."""
        return _labels(self.p_hat, self.definitions)

    @cached_property
    def blocks(self) -> list[recovery.BlockRecovery]:
        """Recovery of each planted block, G of them; where blocks overlap, of its nearest latents.

        A latent inside one block then has part of its energy in the other as well.
        """
        live = [self.live] * len(self.bases)
        if self.planted and self.config.world.block_angle < 90:
            nearest = subspace.nearest(self.directions, self.bases)
            live = [self.live & (nearest == g) for g in range(len(self.bases))]
        return [
            recovery.block_recovery(
                self.directions, basis, own, self.p_hat, self.definitions.member
            )
            for basis, own in zip(self.bases, live, strict=True)
        ]

    def per_block(self, values: Callable[[recovery.BlockRecovery], ArrayLike], *tail: int) -> Array:
        """`values(block)` [S, *tail] of all blocks as one array [S, G, *tail]."""
        found = np.array([values(b) for b in self.blocks], dtype=float)
        return found.reshape(len(self.blocks), len(self.seeds), *tail).swapaxes(0, 1)

    def once(self, function: Callable[["Run"], T]) -> T:
        """`function(self)`, computed once although several scores ask for it."""
        if function not in self._computed:
            self._computed[function] = function(self)
        value: T = self._computed[function]
        return value

    @cached_property
    def _computed(self) -> dict[Callable[["Run"], Any], Any]:
        """What `once` has computed."""
        return {}

    def with_k(self, k: int) -> "Run":
        """The same trained SAEs, evaluated with at most `k` active latents a sample.

        Raises ConfigError if `stack` is None.
        """
        config = replace(self.config, sae=replace(self.config.sae, k=k))
        stack = replace(self.saes, config=replace(self.saes.config, k=k))
        seen = evaluate(stack, self.source, config.eval_samples)
        return replace(self, config=config, stack=stack, evaluation=seen)


Score = Callable[[Run], xr.Dataset]


@dataclass(frozen=True)
class Dictionaries:
    """SAEs of which only the weights are known: a `Run` for scores that need no more.

    Attributes:
        seeds: name of each SAE, [S].
        directions: unit decoder rows, [S, M, D]; smaller dictionaries are padded with dead rows.
        live: which rows are live latents, [S, M].
        encoders: encoder rows, [S, M, D], or None.
        absolute: whether a latent and its negative count as the same latent.
        sizes: number of latents of each dictionary, live and dead, [S]; empty: M for each.
        copies: groups of names of identical SAEs; only the first of each group is included.
        notes: further findings about the files, one line each.
        definitions: thresholds that define found, stable and other terms.
        rates: firing rates, [S, M], NaN for an SAE whose rates are not known; None without any.
    """

    seeds: tuple[str, ...]
    directions: Array
    live: NDArray[np.bool_]
    encoders: Array | None = None
    absolute: bool = False
    sizes: tuple[int, ...] = ()
    copies: tuple[tuple[str, ...], ...] = ()
    notes: tuple[str, ...] = ()
    definitions: Definitions = DEFAULTS
    rates: Array | None = None

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.directions.shape[-1]

    @cached_property
    def nearest(self) -> reappearance.Nearest:
        """Which latents are found in which SAE, and how near the nearest ones are."""
        theta = self.definitions.theta
        return reappearance.nearest(self.directions, theta, self.live, absolute=self.absolute)

    @property
    def found(self) -> NDArray[np.bool_]:
        """Whether a latent of the first SAE has a counterpart in the second, [S, S, M]."""
        return self.nearest.found

    @cached_property
    def p_hat(self) -> Array:
        """Reappearance probability of every live latent, NaN for dead ones, [S, M]."""
        return reappearance.share_of_others(self.found)

    @cached_property
    def latent_rank(self) -> LatentRank:
        """Dimensions in which each latent may turn (`metrics.latent_rank`), [S, M]."""
        return latent_rank(self.directions, self.live)

    @cached_property
    def labels(self) -> NDArray[np.str_]:
        """Class of every latent by its p_hat (`reappearance.labels`), [S, M]."""
        return _labels(self.p_hat, self.definitions)

    def once(self, function: Callable[["Dictionaries"], T]) -> T:
        """`function(self)`, computed once although several scores ask for it."""
        if function not in self._computed:
            self._computed[function] = function(self)
        value: T = self._computed[function]
        return value

    @cached_property
    def _computed(self) -> dict[Callable[["Dictionaries"], Any], Any]:
        """What `once` has computed."""
        return {}


def _labels(p_hat: Array, d: Definitions) -> NDArray[np.str_]:
    return reappearance.labels(p_hat, d.stable, d.unstable)


def run_cell(config: Config, checkpoint: Path | None = None) -> Run:
    """Open the source of `config`, train its seeds and evaluate them on held-out samples.

    Args:
        config: the cell.
        checkpoint: folder for the checkpoints of a long training, as in `train`.

    Raises:
        FloatingPointError: if the loss of fewer than two seeds stayed finite.
    """
    with progress.bar("opening the source"):
        source = config.open()
    with progress.bar("training", config.n_seeds * config.training.n_steps, "seed-steps") as count:
        trained = train(
            source,
            config.sae,
            config.training,
            seeds=config.seeds,
            progress=count,
            checkpoint=checkpoint,
        )
    frozen = {config.seeds[i]: step for i, step in trained.frozen.items()}
    kept = [i for i, seed in enumerate(config.seeds) if seed not in frozen]
    if len(kept) < 2:
        text = "fewer than two seeds have a finite loss; by seed, the step of the others: "
        raise FloatingPointError(f"{text}{frozen}")
    stack = trained.stack.select(kept)
    evaluation = evaluate(stack, source, config.eval_samples)
    return Run(config, source, stack.seeds, frozen, evaluation, trained.group_size, stack)


def over_others(values: ArrayLike) -> Array:
    """For each seed, the mean of `values` [S, ...] over the other seeds."""
    x = np.asarray(values, dtype=float)
    return (x.sum(axis=0) - x) / (len(x) - 1)


def labelled(run: Run | Dictionaries, **variables: tuple[Any, ...]) -> xr.Dataset:
    """Dataset of variables (dims, values, long name[, units]) with the coordinates of the run."""
    arrays = {
        name: xr.Variable(dims, np.asarray(values), {"long_name": text, "units": (*units, "1")[0]})
        for name, (dims, values, text, *units) in variables.items()
    }
    size = {d: n for v in arrays.values() for d, n in v.sizes.items()}
    coords = {d: list(run.seeds) for d in ("seed", "seed_a", "seed_b") if d in size}
    counted = {d: range(size[d]) for d in ("block", "angle", "cluster", "found_in") if d in size}
    return xr.Dataset(arrays, coords | {d: list(n) for d, n in counted.items()})
