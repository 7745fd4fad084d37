"""What the theory of slow rotations predicts for a cell, at the budget of the cell."""

from functools import lru_cache

import numpy as np
import xarray as xr

from synthsae.arrays import Array
from synthsae.config import Config
from synthsae.geometry import unit
from synthsae.metrics import latent, reappearance
from synthsae.scores.axes import chance_axis_cosine
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.theory import generalised_normal, turning_frames
from synthsae.world import WorldConfig

TIMES = np.r_[0, np.geomspace(0.25, 64, 17)]
"""Learning rate times steps at which the predicted frames are looked at."""
FRAMES = 8
"""Frames that are turned, as independent seeds."""


@requires("axes", "separate blocks")
def identification(run: Run) -> xr.Dataset:
    """How far a dictionary should have turned towards the true axes, before any training.

    Frames that start as Haar rotations of the axes of every block turn as `theory.turning_frames`
    says, up to the learning rate times steps of the cell's schedule.
    """
    config, theta = run.config, run.definitions.theta
    clock = learning_rate_times_steps(config)
    truth, p_hat = predicted(config.world, config.sae.k, config.train.batch_size, theta)
    return labelled(
        run,
        learning=((), clock, "sum of the learning rate over the steps"),
        predicted_axis_cosine=(
            (),
            np.interp(clock, TIMES, truth),
            "mean best cosine of the true axes to the predicted frames",
        ),
        predicted_reappearance=(
            (),
            np.interp(clock, TIMES, p_hat),
            "p_hat of the predicted frames",
        ),
        predicted_half_time=(
            (),
            half_time(TIMES, truth, config.world.rank),
            "learning rate times steps at which the predicted axis cosine is half-way from a "
            "random frame's to 1",
        ),
    )


def learning_rate_times_steps(config: Config) -> float:
    """Sum of the learning rate over the steps of a training, warm-up and decay counted."""
    train, size = config.training, config.sae.for_width(config.d_model).size
    return float(sum(train.rate(step, size) for step in range(train.n_steps)))


def half_time(times: Array, truth: Array, rank: int) -> float:
    """When `truth` first is half-way from a random frame's axis cosine to 1; NaN if it never is."""
    middle = (chance_axis_cosine(rank) + 1) / 2
    above = np.flatnonzero(truth >= middle)
    if not above.size or above[0] == 0:
        return float("nan")
    i = above[0]
    return float(np.interp(middle, truth[i - 1 : i + 1], times[i - 1 : i + 1]))


@lru_cache
def predicted(world: WorldConfig, k: int, batch_size: int, theta: float) -> tuple[Array, Array]:
    """Axis cosine and p_hat of the turning frames at `TIMES`, each [times].

    p_hat counts both signs of every direction of a frame, as latents of a block do.
    """
    g, r = world.n_blocks, world.rank

    def draw(n: int, rng: np.random.Generator) -> Array:
        gate = rng.random((n, g, 1)) < world.block_p
        codes = gate * generalised_normal(world.beta, (n, g, r), rng) * world.block_scale
        return codes.reshape(n, g * r)

    frames = turning_frames(
        draw, (r,) * g, k, batch_size, world.d_model, TIMES, n_frames=FRAMES, samples=2048
    )
    truth, p_hat = np.zeros((2, len(TIMES)))
    for t, every in enumerate(frames):
        for b in range(g):
            part = every[:, b * r : (b + 1) * r, b * r : (b + 1) * r]
            atoms = unit(np.concatenate([part, -part], axis=2).swapaxes(1, 2))  # [frames, 2R, R]
            axes = np.r_[np.eye(r), -np.eye(r)]
            truth[t] += np.mean([latent.max_cosines(axes, a).mean() for a in atoms]) / g
            p_hat[t] += reappearance.reappearance(atoms, theta).mean() / g
    return truth, p_hat
