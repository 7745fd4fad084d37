"""Run trained SAEs on held-out samples: the one place where tensors become NumPy arrays."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

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

BATCH = 4096
"""Held-out samples in one batch."""


@dataclass(frozen=True)
class HeldOut:
    """One batch of B held-out samples.

    Attributes:
        x: activations, [B, D].
        t: number of the batch in the stream `eval`.
        seed: data seed of the stream.
    """

    x: Tensor
    t: int
    seed: int

    def rows_of(self, draw: Callable[..., Any], **options: Any) -> Any:
        """Call `draw`, such as `World.magnitudes`, for the same samples: [B, ...].

        `draw` takes the arguments of `ActivationSource.batch`; `options` are further ones.
        """
        drawn = draw(self.t, BATCH, seed=self.seed, stream="eval", **options)
        return drawn[: len(self.x)]


def held_out(
    source: ActivationSource,
    n_samples: int,
    *,
    stack: SAEStack | None = None,
    seed: int = 0,
    title: str = "held-out samples",
) -> Iterator[HeldOut]:
    """Yield the first `n_samples` of the stream `eval`, in batches of `BATCH` samples at most.

    Every batch is drawn whole and then shortened: the first samples do not depend on `n_samples`.

    Args:
        source: where the samples come from.
        n_samples: how many samples to yield.
        stack: SAEs that read the samples; the samples are on their device (none: on the CPU).
        seed: data seed of the stream.
        title: what the progress bar says.

    Raises:
        ConfigError: on the first batch, for no samples and for a source whose width is not that
            of the SAEs.
    """
    n_samples, device = _integer(n_samples), torch.device("cpu")
    if stack is not None:
        w, device = stack.params["w_dec"], stack.params["w_dec"].device
        if source.d_model != w.shape[2]:
            raise ConfigError("source.d_model", source.d_model, f"{w.shape[2]}, that of the SAEs")
    with progress.bar(title, n_samples, "samples") as count:
        for t in range(-(-n_samples // BATCH)):
            x = batch(source, t, BATCH, seed=seed, stream="eval", device=device)
            x = x[: n_samples - t * BATCH]
            yield HeldOut(x, t, seed)
            count(len(x))


def _integer(n_samples: int) -> int:
    """`n_samples` as an int. Raises ConfigError for what is none, and below 1."""
    try:
        n = int(of_type(n_samples, int))
    except TypeError as error:
        raise ConfigError("n_samples", n_samples, "an integer") from error
    within("n_samples", n, 1)
    return n


@dataclass(frozen=True)
class Evaluation:
    """What S SAEs do on held-out samples, as arrays.

    Attributes:
        directions: unit decoder rows, [S, M, D].
        rates: firing rate of every latent, the share of the samples on which it fires, [S, M].
        explained_variance: of the samples, [S].
    """

    directions: Array
    rates: Array
    explained_variance: Array

    def live(self, threshold: float = function.LIVE) -> NDArray[np.bool_]:
        """Which latents have a firing rate of `threshold` or more, [S, M]."""
        return function.live(self.rates, threshold)


def evaluate(
    stack: SAEStack, source: ActivationSource, n_samples: int, seed: int = 0
) -> Evaluation:
    """Firing rates and explained variance of every SAE of `stack` on the same samples.

    Args:
        stack: S SAEs.
        source: where the samples come from.
        n_samples: how many held-out samples to read.
        seed: data seed of the stream `eval`.

    Raises:
        ConfigError: for no samples, for a source whose width is not that of the SAEs, and for
            samples that are not finite.
    """
    w = stack.params["w_dec"]
    counts = torch.zeros(w.shape[:2], dtype=torch.long, device=w.device)
    parts: list[function.Residual] = []
    for held in held_out(source, n_samples, stack=stack, seed=seed, title="evaluation"):
        x, code = held.x, stack.encode(held.x)
        counts += kernels.firing_counts(code, w.shape[1])
        error = torch.linalg.vector_norm(x - stack.decode(code), dim=(1, 2))
        scatter = x.double().var(0, correction=0).sum() * len(x)
        sums = [v.cpu().numpy() for v in (x.double().mean(0), scatter, error.double() ** 2)]
        parts.append(function.Residual(len(x), *sums))
    residual = sum(parts[1:], start=parts[0])
    if not np.isfinite(residual.mean).all():
        name = f"{type(source).__name__}.batch"
        raise ConfigError(name, "NaN or infinite in the stream eval", "finite activations")
    rates = counts.cpu().numpy() / n_samples
    return Evaluation(stack.directions(), rates, 1 - residual.fvu)


def latent_energy(
    stack: SAEStack, source: ActivationSource, n_samples: int, seed: int = 0
) -> Array:
    """Energy of every latent: the mean of ||z_j w_j||^2 over the samples of `evaluate`, [S, M].

    Raises ConfigError for no samples, and for a source whose width is not that of the SAEs.
    """
    w = stack.params["w_dec"]
    total = torch.zeros(w.shape[:2], dtype=torch.float64, device=w.device)
    for held in held_out(source, n_samples, stack=stack, seed=seed):
        values, indices = stack.encode(held.x)
        square = values.double() ** 2
        if indices is None:
            total += square.sum(1)
        else:
            total.scatter_add_(1, indices.flatten(1), square.flatten(1))
    return (total * w.double().square().sum(2) / n_samples).cpu().numpy()
