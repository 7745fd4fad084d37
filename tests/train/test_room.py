"""The bound on dead latents holds at every step, and room is made for no latent much too early."""

from dataclasses import replace

import pytest
import torch

import synthsae.train.room as rooms
from synthsae.train import TrainConfig

S, M, BATCH = 3, 40, 8
CONFIG = TrainConfig(n_steps=1000, batch_size=BATCH, dead_after=100 * BATCH, device="cpu")
ALL = torch.ones(S, dtype=torch.bool)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("limit", [40 * BATCH - 1, 40 * BATCH, 40 * BATCH + 1, 5])
def test_no_sae_has_more_dead_latents_than_the_bound(limit, seed):
    """Where latents fire by chance, some hardly ever; one SAE is frozen, and nobody asks of it."""
    config, seen = replace(CONFIG, dead_after=limit), set()
    g, room = torch.Generator().manual_seed(seed), rooms.Room(config, M)
    silent, odds = torch.zeros(S, M, dtype=torch.long), 0.05 * torch.rand(S, M, generator=g)
    for step in range(400):
        silent[2], dead = 10**9, int((silent[:2] >= limit).sum(1).max())
        bound = room.at(step, silent, torch.tensor([True, True, False]))
        assert dead <= bound <= M
        seen.add((dead > 0, bound < M))
        silent.add_(BATCH).mul_(torch.rand(S, M, generator=g) >= odds)
    assert ((True, True) in seen) == (limit > 2 * rooms.EVERY * BATCH)


@pytest.mark.parametrize("last", [0, 17, *range(160, 160 + rooms.EVERY)])
def test_room_is_made_in_time_and_not_long_before(last):
    """A latent fires at every step before `last`, the others always."""
    room, silent = rooms.Room(CONFIG, M), torch.zeros(S, M, dtype=torch.long)
    bounds = []
    for step in range(last + 120):
        silent[1, 7] = BATCH * max(0, step - last)
        bounds.append(room.at(step, silent, ALL))
    assert bounds[last + 100 :] == [1] * 20  # dead from here on
    assert not any(bounds[: last + 100 - rooms.EVERY + 1])


def test_who_comes_in_late_knows_no_better_than_all():
    """As after a return to a checkpoint, until a count is old enough."""
    room, silent = rooms.Room(CONFIG, M), torch.full((S, M), 10**6)
    silent[:, 5:] = 0
    bounds = [room.at(step, silent, ALL) for step in range(201, 260)]
    assert bounds == [M] * (224 - 201) + [5] * (260 - 224)


def test_a_number_is_that_of_the_time_it_was_asked_for():
    number = torch.tensor(3)
    bring = rooms.later(number)
    number += 1
    assert bring() == 3


def test_without_auxk_there_is_no_room():
    room = rooms.Room(replace(CONFIG, aux_coefficient=0.0), M)
    assert not any(room.at(step, torch.full((S, M), 10**6), ALL) for step in range(300))
