"""Ensembles of SAEs as in Gadgil et al. (arXiv 2505.16077): averaged, and boosted.

Averaged ("naive bagging"): x_hat = mean_j x_hat_j of SAEs that differ in their seeds. Boosted: SAE
j is trained on what those before it leave, x - sum_{l<j} x_hat_l, and x_hat is the sum of all.
Either is one dictionary, the concatenation of its members', of which J times k latents fire.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from synthsae.checks import within
from synthsae.evaluation import Evaluation, held_out
from synthsae.metrics import function
from synthsae.sae import SAEStack, kernels
from synthsae.train import ActivationSource, TrainConfig, batches, train


def boost(
    first: SAEStack,
    source: ActivationSource,
    config: TrainConfig,
    seeds: Sequence[Sequence[int]],
) -> list[SAEStack]:
    """For each of the S SAEs of `first` a chain, a stack of 1 + J that begins with it.

    SAE s of stage j starts from init seed `seeds[j][s]`. All stages see the batches of their
    chain's first data seed, which are held in memory: n_steps x S x B x D float32. Raises
    ConfigError for no steps.
    """
    within("train.n_steps", config.n_steps, 1)
    device, s = first.params["w_dec"].device, range(len(first.seeds))
    at, size = config.data_seeds(first.seeds), config.batch_size
    data = torch.stack(
        [batches(source, t, size, at, device) for t in range(config.n_steps)]
    )  # [T, S, B, D]
    stages = [first]
    for names in seeds:
        last, replay = stages[-1], _Replay(source.d_model, data)
        for x in data:
            x -= last.decode(last.encode(x))
        found = train(replay, first.config, config, seeds=names, init_seeds=names, data_seeds=s)
        stages.append(found.stack)
    return [SAEStack.join([stage.select([i]) for stage in stages]) for i in s]


def evaluate_ensemble(
    stack: SAEStack, source: ActivationSource, n_samples: int, *, boosted: bool, seed: int = 0
) -> Evaluation:
    """The J SAEs of `stack` as one of J M latents (arrays with S = 1), averaged or `boosted`.

    On the samples of `evaluate`, and with its errors.
    """
    members = [stack.select([j]) for j in range(len(stack.seeds))]
    m, device = stack.params["w_dec"].shape[1], stack.params["w_dec"].device
    counts = torch.zeros(len(members), m, dtype=torch.long, device=device)
    sums: list[function.Residual] = []
    for held in held_out(source, n_samples, stack=stack, seed=seed, title="ensemble"):
        x = left = held.x
        parts: list[Tensor] = []
        for j, one in enumerate(members):
            code = one.encode(left if boosted else x)
            parts.append(one.decode(code)[0])
            counts[j] += kernels.firing_counts(code, m)[0]
            left = left - parts[-1]
        x_hat = torch.stack(parts).sum(0) if boosted else torch.stack(parts).mean(0)
        sums.append(function.Residual.of(x.cpu().numpy(), x_hat.cpu().numpy()))
    total = sum(sums[1:], start=sums[0])
    rates = counts.flatten().cpu().numpy()[None] / n_samples
    directions = stack.directions().reshape(1, -1, source.d_model)
    return Evaluation(directions, rates, np.array([1 - total.fvu]))


@dataclass(frozen=True)
class _Replay:
    """An activation source of fixed batches [T, S, B, D], those of S data seeds."""

    d_model: int
    data: Tensor

    def batch(
        self,
        t: int,
        size: int,
        *,
        seed: int,
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Batch `t` of the data seed in position `seed`."""
        return self.data[t, seed].to(device)
