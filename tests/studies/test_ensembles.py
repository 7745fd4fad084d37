"""Averaged and boosted SAEs against their definitions (arXiv 2505.16077), written out."""

import numpy as np
import pytest
import torch
from synthsae.studies.pooling.ensembles import boost, evaluate_ensemble

from synthsae import SAEConfig, SAEStack, TrainConfig, World, WorldConfig
from synthsae.evaluation import evaluate
from synthsae.train import train

WORLD = World.plant(WorldConfig(d_model=10, n_isolated=8, n_blocks=1, rank=2), seed=0)
SAE, CONFIG = SAEConfig(n_latents=12, k=2), TrainConfig(n_steps=40, batch_size=64, lr=0.01)
N = 5000  # two batches of the evaluation, the second cut


@pytest.fixture(scope="module")
def members() -> SAEStack:
    return train(WORLD, SAE, CONFIG, seeds=(0, 1, 2, 3)).stack


@pytest.fixture(scope="module")
def chains(members: SAEStack) -> list[SAEStack]:
    return boost(members.select([0, 3]), WORLD, CONFIG, [(11, 21), (12, 22)])


def reconstruct(stack: SAEStack, s: int, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Codes and reconstruction of one SAE, in NumPy."""
    p = {n: v[s].double().numpy() for n, v in stack.params.items()}
    pre = np.maximum((x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"], 0)
    z = np.where(pre >= np.sort(pre, axis=1)[:, [-2]], pre, 0)
    return z, z @ p["w_dec"] + p["b_dec"]


def held_out() -> np.ndarray:
    parts = [WORLD.batch(t, 4096, seed=0, stream="eval").double().numpy() for t in (0, 1)]
    return np.concatenate(parts)[:N]


def ev(x: np.ndarray, x_hat: np.ndarray) -> float:
    return 1 - ((x - x_hat) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()


def test_averaged_by_hand(members: SAEStack) -> None:
    x = held_out()
    codes, hats = zip(*(reconstruct(members, s, x) for s in range(4)), strict=True)
    seen = evaluate_ensemble(members, WORLD, N, boosted=False)
    assert seen.explained_variance == pytest.approx([ev(x, np.mean(hats, axis=0))], abs=1e-5)
    fires = np.concatenate([(z > 0).mean(0) for z in codes])
    np.testing.assert_allclose(seen.rates[0], fires, atol=2e-3)
    assert seen.directions.shape == (1, 48, 10)
    np.testing.assert_array_equal(seen.directions[0, 12:24], members.directions()[1])
    assert seen.explained_variance > evaluate(members, WORLD, N).explained_variance.max()


def test_boosted_by_hand(chains: list[SAEStack]) -> None:
    x = held_out()
    for chain in chains:
        left, fires = x, []
        for s in range(3):
            z, x_hat = reconstruct(chain, s, left)
            left, fires = left - x_hat, [*fires, (z > 0).mean(0)]
        seen = evaluate_ensemble(chain, WORLD, N, boosted=True)
        assert seen.explained_variance == pytest.approx([ev(x, x - left)], abs=1e-5)
        np.testing.assert_allclose(seen.rates[0], np.concatenate(fires), atol=2e-3)


def test_one_member_is_itself(members: SAEStack) -> None:
    alone = evaluate(members.select([2]), WORLD, N)
    for boosted in (False, True):
        seen = evaluate_ensemble(members.select([2]), WORLD, N, boosted=boosted)
        np.testing.assert_array_equal(seen.rates, alone.rates)
        np.testing.assert_allclose(seen.explained_variance, alone.explained_variance, atol=1e-6)


class Left:
    """What the SAEs of a chain leave of the world, by the definition: all of them again."""

    d_model = 10

    def __init__(self, chain: SAEStack) -> None:
        self.chain = chain

    def batch(self, t, size, *, seed, stream="data", device="cpu"):
        x = WORLD.batch(t, size, seed=seed, stream=stream)
        for s in range(len(self.chain.seeds)):
            one = self.chain.select([s])
            x = x - one.decode(one.encode(x))[0]
        return x


@pytest.mark.parametrize("side", [0, 1])
def test_every_stage_is_trained_on_what_is_left(
    members: SAEStack, chains: list[SAEStack], side: int
) -> None:
    chain, first = chains[side], (0, 3)[side]
    assert chain.seeds == (first, 11 + 10 * side, 12 + 10 * side)
    for name, p in chain.params.items():
        assert torch.equal(p[0], members.params[name][first])
    for stage in (1, 2):
        want = train(
            Left(chain.select(range(stage))),
            SAE,
            CONFIG,
            seeds=[0],
            init_seeds=[chain.seeds[stage]],
            data_seeds=[first],
        )
        for name, p in want.stack.params.items():
            torch.testing.assert_close(chain.params[name][stage], p[0], atol=2e-4, rtol=0)


def test_boosting_explains_more_at_every_stage(chains: list[SAEStack]) -> None:
    each = [
        evaluate_ensemble(chains[0].select(range(n)), WORLD, N, boosted=True) for n in (1, 2, 3)
    ]
    scores = [float(e.explained_variance[0]) for e in each]
    assert scores == sorted(scores)
    assert scores[2] > scores[0] + 0.05
