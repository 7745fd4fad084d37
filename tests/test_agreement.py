"""The labelled lists of a consensus, their file, and what each latent contributes."""

import numpy as np
import pytest
import torch
import xarray as xr
from safetensors import safe_open
from safetensors.numpy import save_file
from test_metrics_consensus import trained

import synthsae
from synthsae.evaluate import latent_energy
from synthsae.geometry import unit
from synthsae.metrics import consensus as plain
from synthsae.sae import SAEConfig, SAEStack
from synthsae.stats import mean_interval, pairwise_interval
from synthsae.world import World, WorldConfig


@pytest.fixture(scope="module")
def seen() -> dict[str, np.ndarray]:
    """Made-up SAEs with a feature that one seed lacks, and rates and energies to tell them by."""
    rng = np.random.default_rng(0)
    x, features, _ = trained(rng, rank=3)
    live = np.ones(x.shape[:2], dtype=bool)
    live[2, (x[2] @ features[1]).argmax()] = False
    energy = rng.random(x.shape[:2])
    return {"directions": x, "live": live, "rates": rng.random(x.shape[:2]), "energy": energy}


@pytest.fixture(scope="module")
def ds(seen: dict[str, np.ndarray]) -> xr.Dataset:
    return synthsae.consensus(**seen, seeds=range(5, 11))


def test_lists_are_those_of_the_metric(seen: dict[str, np.ndarray], ds: xr.Dataset) -> None:
    found = plain.consensus(unit(seen["directions"]), seen["live"])
    assert ds.sizes["identity"] == (found.identity_q <= 0.05).sum() == 6
    assert ds.sizes["subspace"] == (found.subspace_q <= 0.05).sum() == 3
    assert np.array_equal(ds.identity_latent, found.identities.latents[:6])
    assert np.array_equal(ds.identity_q, found.identity_q[:6])
    assert ds.seed.values.tolist() == list(range(5, 11))
    for g, space in enumerate(found.subspaces):
        assert np.array_equal(ds.subspace_basis[g], space.span.T)
        assert np.array_equal(ds.subspace_member[g], space.members)
        assert ds.subspace_rank_low[g] <= ds.subspace_rank[g] <= ds.subspace_rank_high[g]
    assert np.array_equal(ds.subspace_latents, ds.subspace_member.sum("latent"))
    with pytest.raises(ValueError, match="level: 1; allowed"):
        synthsae.consensus(seen["directions"], level=1)


def test_numbers_of_an_identity_by_hand(seen: dict[str, np.ndarray], ds: xr.Dataset) -> None:
    x, rates, energy = seen["directions"], seen["rates"], np.where(seen["live"], seen["energy"], 0)
    assert sorted(ds.identity_found.values) == [5, 6, 6, 6, 6, 6]
    for i, row in enumerate(ds.identity_latent.values):
        at = np.flatnonzero(row >= 0)
        rows = x[at, row[at]]
        want = pairwise_interval(rows @ rows.T)
        assert ds.identity_cosine[i] == pytest.approx(float(want.estimate))
        assert ds.identity_cosine_low[i] == pytest.approx(float(want.low))
        mean = rows.mean(axis=0)
        assert np.allclose(ds.identity_direction[i], mean / np.linalg.norm(mean))
        assert np.array_equal(ds.identity_rate[i, at], rates[at, row[at]])
        assert np.isnan(ds.identity_rate[i]).sum() == 6 - len(at)
        share = np.zeros(6)
        share[at] = energy[at, row[at]] / energy.sum(axis=1)[at]
        carried = mean_interval(share)
        assert ds.identity_energy[i] == pytest.approx(float(carried.estimate))
        assert ds.identity_energy_low[i] == pytest.approx(max(0, float(carried.low)))
        assert ds.identity_energy_high[i] == pytest.approx(float(carried.high))


def test_energy_of_a_subspace_is_its_members_share(
    seen: dict[str, np.ndarray], ds: xr.Dataset
) -> None:
    energy = np.where(seen["live"], seen["energy"], 0)
    for g, member in enumerate(ds.subspace_member.values):
        share = [energy[s][member[s]].sum() / energy[s].sum() for s in range(6)]
        assert ds.subspace_energy[g] == pytest.approx(np.mean(share))
    total = float(ds.identity_energy.sum() + ds.subspace_energy.sum())
    assert total == pytest.approx(1)  # every live latent here is on one of the lists
    with pytest.raises(ValueError, match=r"energy: shape \(2,\); allowed"):
        synthsae.consensus(seen["directions"], energy=[1.0, 2.0])


def test_the_file_holds_all_of_it(tmp_path, ds: xr.Dataset) -> None:
    path = tmp_path / "consensus.safetensors"
    synthsae.save_consensus(ds, path)
    xr.testing.assert_identical(synthsae.load_consensus(path), ds)
    with safe_open(path, framework="pt") as f:  # as another tool would
        basis = f.get_tensor("subspace_1")
        assert basis.shape == (3, ds.sizes["dim"])
        assert torch.allclose(basis @ basis.T, torch.eye(3, dtype=basis.dtype), atol=1e-9)
        assert f.get_tensor("identity_direction").shape == (6, ds.sizes["dim"])


def test_empty_lists_have_a_file_too(tmp_path) -> None:
    empty = synthsae.consensus(np.ones((3, 4, 5)), np.zeros((3, 4), dtype=bool))
    assert empty.sizes["identity"] == empty.sizes["subspace"] == 0
    path = tmp_path / "none.safetensors"
    synthsae.save_consensus(empty, path)
    xr.testing.assert_identical(synthsae.load_consensus(path), empty)


def test_other_files_are_refused(tmp_path) -> None:
    other, text = tmp_path / "other.safetensors", tmp_path / "text"
    save_file({"a": np.zeros(2)}, other)
    text.write_text("no tensors at all")
    with pytest.raises(ValueError, match="allowed: a file that save_consensus wrote"):
        synthsae.load_consensus(other)
    with pytest.raises(ValueError, match="allowed: a safetensors file"):
        synthsae.load_consensus(text)


@pytest.mark.parametrize("arch", ["topk", "relu"])
def test_latent_energy_by_hand(arch: str) -> None:
    world = World.plant(WorldConfig(d_model=12, n_isolated=4, n_blocks=1, rank=2), seed=0)
    stack = SAEStack.init(SAEConfig(arch=arch, n_latents=9, k=3), 12, [0, 1])
    stack.params["w_dec"] *= torch.linspace(0.5, 2, 9)[:, None]
    x = world.batch(0, 4096, seed=0, stream="eval")[:500]
    codes = stack.encode(x).dense(9)
    parts = codes[..., None] * stack.params["w_dec"][:, None]  # [S, B, M, D]
    want = (parts**2).sum(-1).mean(1)
    assert np.allclose(latent_energy(stack, world, 500), want, rtol=1e-4)
    assert want.max() > 0
