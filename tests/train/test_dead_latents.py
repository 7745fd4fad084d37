"""The bound on dead latents holds at every step, and counts no latent much too early."""

from dataclasses import replace

import pytest
import torch

import synthsae.train.dead_latents as dead_latents
from synthsae.train import TrainConfig

S, M, BATCH = 3, 40, 8
CONFIG = TrainConfig(n_steps=1000, batch_size=BATCH, dead_after=100 * BATCH, device="cpu")
ALL = torch.ones(S, dtype=torch.bool)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", [40 * BATCH - 1, 40 * BATCH, 40 * BATCH + 1, 5])
def test_no_sae_has_more_dead_latents_than_the_bound(limit, seed):
    """Where latents fire by chance, some hardly ever; one SAE is frozen, and nobody asks of it."""
    config, seen = replace(CONFIG, dead_after=limit), set()
    g, tracker = torch.Generator().manual_seed(seed), dead_latents.DeadLatentBound(config, M)
    since_fired, odds = torch.zeros(S, M, dtype=torch.long), 0.05 * torch.rand(S, M, generator=g)
    for step in range(400):
        since_fired[2], dead = 10**9, int((since_fired[:2] >= limit).sum(1).max())
        bound = tracker.at(step, since_fired, torch.tensor([True, True, False]))
        assert dead <= bound <= M
        seen.add((dead > 0, bound < M))
        since_fired.add_(BATCH).mul_(torch.rand(S, M, generator=g) >= odds)
    assert ((True, True) in seen) == (limit > 2 * dead_latents.EVERY * BATCH)


@pytest.mark.parametrize("last", [0, 17, *range(160, 160 + dead_latents.EVERY)])
def test_a_latent_is_counted_in_time_and_not_long_before(last):
    """A latent fires at every step before `last`, the others always."""
    tracker, since_fired = (
        dead_latents.DeadLatentBound(CONFIG, M),
        torch.zeros(S, M, dtype=torch.long),
    )
    bounds = []
    for step in range(last + 120):
        since_fired[1, 7] = BATCH * max(0, step - last)
        bounds.append(tracker.at(step, since_fired, ALL))
    assert bounds[last + 100 :] == [1] * 20  # dead from here on
    assert not any(bounds[: last + 100 - dead_latents.EVERY + 1])


def test_the_bound_is_all_latents_until_a_count_is_old_enough():
    """As after a return to a checkpoint."""
    tracker, since_fired = dead_latents.DeadLatentBound(CONFIG, M), torch.full((S, M), 10**6)
    since_fired[:, 5:] = 0
    bounds = [tracker.at(step, since_fired, ALL) for step in range(201, 260)]
    assert bounds == [M] * (224 - 201) + [5] * (260 - 224)


def test_the_copy_holds_the_number_at_the_time_of_the_call():
    number = torch.tensor(3)
    read = dead_latents.copy_to_host(number)
    number += 1
    assert read() == 3


def test_without_auxk_the_bound_is_zero():
    tracker = dead_latents.DeadLatentBound(replace(CONFIG, aux_coefficient=0.0), M)
    assert not any(tracker.at(step, torch.full((S, M), 10**6), ALL) for step in range(300))
