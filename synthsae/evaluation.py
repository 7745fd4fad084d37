"""What a trained stack does on held-out samples: the one crossing from torch to NumPy."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthsae import progress
from synthsae.arrays import Array
from synthsae.checks import ConfigError, of_type, within
from synthsae.metrics import function
from synthsae.sae import SAEStack, kernels
from synthsae.train import ActivationSource
from synthsae.train.source import batch
from synthsae.world import World

BATCH = 4096
"""Samples evaluated at a time."""


@dataclass(frozen=True)
class Evaluation:
    """S SAEs as arrays.

    Attributes:
        directions: unit decoder rows, [S, M, D].
        rates: share of the held-out samples on which a latent fires, [S, M].
        explained_variance: of the held-out samples, [S].
    """

    directions: Array
    rates: Array
    explained_variance: Array

    def live(self, threshold: float = function.LIVE) -> NDArray[np.bool_]:
        """Latents that fire on at least that share of the samples, [S, M]."""
        return function.live(self.rates, threshold)


def evaluate(
    stack: SAEStack, source: ActivationSource, n_samples: int, seed: int = 0
) -> Evaluation:
    """Run every SAE on the same `n_samples` of the `eval` stream of `seed`.

    Raises ConfigError for no samples, and for a source of another width than the SAEs' or whose
    samples are not finite.
    """
    n_samples = samples(stack, source, n_samples)
    device = stack.params["w_dec"].device
    s, m = stack.params["w_dec"].shape[:2]
    counts = torch.zeros(s, m, dtype=torch.long, device=device)
    residual: function.Residual | None = None
    with progress.bar("evaluation", n_samples, "samples") as count:
        for t in range(-(-n_samples // BATCH)):
            size = min(BATCH, n_samples - t * BATCH)
            x = batch(source, t, BATCH, seed=seed, stream="eval", device=device)[:size]
            code = stack.encode(x)
            counts += kernels.firing_counts(code, m)
            error = torch.linalg.vector_norm(x - stack.decode(code), dim=(1, 2))
            scatter = x.double().var(0, correction=0).sum() * size
            sums = [v.cpu().numpy() for v in (x.double().mean(0), scatter, error.double() ** 2)]
            part = function.Residual(size, *sums)
            residual = part if residual is None else residual + part
            count(size)
    assert residual is not None
    if not np.isfinite(residual.mean).all():
        name = f"{type(source).__name__}.batch"
        raise ConfigError(name, "NaN or infinite in the stream eval", "finite activations")
    rates = counts.cpu().numpy() / n_samples
    return Evaluation(stack.directions(), rates, 1 - residual.fvu)


def samples(stack: SAEStack, source: ActivationSource, n_samples: int) -> int:
    """`n_samples` if SAEs can be run on as many of a source. Raises ConfigError where not."""
    try:
        n = int(of_type(n_samples, int))
    except TypeError as error:
        raise ConfigError("n_samples", n_samples, "an integer") from error
    within("n_samples", n, 1)
    width = stack.params["w_dec"].shape[2]
    if source.d_model != width:
        raise ConfigError("source.d_model", source.d_model, f"{width}, that of the SAEs")
    return n


def latent_energy(
    stack: SAEStack, source: ActivationSource, n_samples: int, seed: int = 0
) -> Array:
    """Mean of ||z_j w_j||^2 over the samples of `evaluate`: what a latent contributes, [S, M].

    Raises ConfigError for no samples, and for a source of another width than the SAEs'.
    """
    n_samples = samples(stack, source, n_samples)
    w = stack.params["w_dec"]
    total = torch.zeros(w.shape[:2], dtype=torch.float64, device=w.device)
    for t in range(-(-n_samples // BATCH)):
        size = min(BATCH, n_samples - t * BATCH)
        x = batch(source, t, BATCH, seed=seed, stream="eval", device=w.device)[:size]
        values, indices = stack.encode(x)
        square = values.double() ** 2
        if indices is None:
            total += square.sum(1)
        else:
            total.scatter_add_(1, indices.flatten(1), square.flatten(1))
    return (total * w.double().square().sum(2) / n_samples).cpu().numpy()


def held_out(
    stack: SAEStack, source: ActivationSource, n_samples: int, seed: int = 0
) -> Iterator[tuple[Tensor, Tensor]]:
    """The samples of `evaluate` once more, in batches: (x [B, D], dense codes [S, B, M])."""
    device = stack.params["w_dec"].device
    with progress.bar("held-out samples", n_samples, "samples") as count:
        for t in range(-(-n_samples // BATCH)):
            x = batch(source, t, BATCH, seed=seed, stream="eval", device=device)
            x = x[: n_samples - t * BATCH]
            yield x, stack.encode(x).dense(stack.params["w_dec"].shape[1])
            count(len(x))


def planted_magnitudes(
    world: World, n_samples: int, seed: int = 0, device: torch.device | str = "cpu"
) -> Iterator[Tensor]:
    """How strongly each planted feature fires in the samples of `held_out`, in batches [B, F]."""
    for t in range(-(-n_samples // BATCH)):
        truth = world.magnitudes(t, BATCH, seed=seed, stream="eval", device=device)
        yield truth[: n_samples - t * BATCH]
