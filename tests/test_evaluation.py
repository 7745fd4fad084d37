"""Held-out numbers against a dense computation on the same samples."""

from dataclasses import replace

import dense
import numpy as np
import pytest
import torch
from synthsae.studies.pooling.ensembles import evaluate_ensemble

import synthsae.evaluation as evaluation
from synthsae.checks import ConfigError
from synthsae.sae import SAEConfig, SAEStack
from synthsae.world import World, WorldConfig

WORLD = World.plant(
    WorldConfig(d_model=6, n_isolated=4, isolated_p=0.3, n_blocks=0, rank=1, noise=0.2), seed=0
)
BATCH = 40


def stack():
    params = dense.random_params(3, 8, 6, dtype=torch.float32)
    params["b_enc"][1, 2] = -100  # never fires
    return SAEStack(SAEConfig(n_latents=8, k=3), (0, 1, 2), params)


@pytest.mark.parametrize("n_samples", [1, 39, 40, 110])
@pytest.mark.parametrize("seed", [0, 5])
def test_rates_and_explained_variance_are_those_of_the_samples(monkeypatch, n_samples, seed):
    monkeypatch.setattr(evaluation, "BATCH", BATCH)
    saes = stack()
    got = evaluation.evaluate(saes, WORLD, n_samples, seed)
    x = torch.cat([WORLD.batch(t, BATCH, seed=seed, stream="eval") for t in range(3)])[:n_samples]
    for s in range(3):
        p = {name: v[s] for name, v in saes.params.items()}
        z = dense.topk((x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"], 3)
        error = (x - z @ p["w_dec"] - p["b_dec"]).square().sum()
        np.testing.assert_array_equal(got.rates[s], (z > 0).double().mean(0))
        if n_samples > 1:
            ev = 1 - error / (x - x.mean(0)).square().sum()
            assert got.explained_variance[s] == pytest.approx(float(ev), rel=1e-5)
    rows = saes.params["w_dec"].numpy()
    cosine = np.einsum("smd,smd->sm", got.directions, rows) / np.linalg.norm(rows, axis=2)
    np.testing.assert_allclose(cosine, np.ones((3, 8)), rtol=1e-6)
    assert not got.live()[1, 2]


def test_live_latents_fire_on_at_least_one_sample_in_ten_thousand():
    rates = np.array([[0, 0.99e-4, 1e-4, 1]])
    got = evaluation.Evaluation(np.zeros((1, 4, 2)), rates, np.zeros(1))
    assert got.live().tolist() == [[False, False, True, True]]


def test_held_out_samples_are_not_training_samples():
    asked = []

    class Source:
        d_model = 6

        def batch(self, t, size, *, seed, stream="data", device="cpu"):
            asked.append((t, seed, stream))
            return WORLD.batch(t, size, seed=seed, stream=stream, device=device)

    evaluation.evaluate(stack(), Source(), evaluation.BATCH + 1, seed=9)
    assert asked == [(0, 9, "eval"), (1, 9, "eval")]


def test_more_samples_begin_with_the_same_ones(monkeypatch):
    """The share on 80 samples is the mean of the shares on each 40: batches are whole batches."""
    monkeypatch.setattr(evaluation, "BATCH", BATCH)
    one, both = (evaluation.evaluate(stack(), WORLD, n).rates * n for n in (40, 80))
    assert np.all(one <= both + 1e-9)
    few = evaluation.evaluate(stack(), WORLD, 13).rates * 13
    assert np.all(few <= one + 1e-9)


@pytest.mark.parametrize("n_samples", [39, 40, 110])
def test_planted_magnitudes_of_the_held_out_samples(monkeypatch, n_samples):
    monkeypatch.setattr(evaluation, "BATCH", BATCH)
    batches = list(evaluation.held_out(WORLD, n_samples, seed=5))
    x = torch.cat([held.x for held in batches])
    truth = torch.cat([held.rows_of(WORLD.magnitudes) for held in batches])
    at = dict(seed=5, stream="eval")
    whole = [
        torch.cat([f(t, BATCH, **at) for t in range(3)]) for f in (WORLD.batch, WORLD.magnitudes)
    ]
    torch.testing.assert_close(x, whole[0][:n_samples], rtol=0, atol=0)
    torch.testing.assert_close(truth, whole[1][:n_samples], rtol=0, atol=0)


@pytest.mark.parametrize("n_samples", [0, -5])
@pytest.mark.parametrize("function", [evaluation.evaluate, evaluation.latent_energy])
def test_nothing_to_evaluate_on_is_refused(function, n_samples):
    with pytest.raises(ConfigError) as error:
        function(stack(), WORLD, n_samples)
    assert (error.value.field, error.value.value) == ("n_samples", n_samples)


@pytest.mark.parametrize("n_samples", [None, 10.5, "10", True])
def test_a_number_of_samples_that_is_no_integer_is_refused(n_samples):
    with pytest.raises(ConfigError) as error:
        evaluation.evaluate(stack(), WORLD, n_samples)
    assert (error.value.field, error.value.allowed) == ("n_samples", "an integer")
    with pytest.raises(ConfigError) as error:
        evaluate_ensemble(stack(), WORLD, n_samples, boosted=False)
    assert error.value.field == "n_samples"


def test_a_source_of_another_width_is_refused():
    other = World.plant(replace(WORLD.config, d_model=WORLD.d_model + 4), seed=0)
    with pytest.raises(ConfigError) as error:
        evaluation.evaluate(stack(), other, 10)
    assert (error.value.field, error.value.value) == ("source.d_model", WORLD.d_model + 4)
