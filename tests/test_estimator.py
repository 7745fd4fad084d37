"""StableDictionary on a matrix: what is recovered, what codes are, what is refused."""

from dataclasses import replace

import numpy as np
import pytest
import torch
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.exceptions import ConvergenceWarning

import synthsae
from synthsae import World, WorldConfig, estimator
from synthsae.checks import ConfigError
from synthsae.estimator import StableDictionary
from synthsae.evaluation import Evaluation
from synthsae.geometry import unit
from synthsae.sae import ARCHITECTURES

WORLD = World.plant(
    WorldConfig(d_model=32, n_isolated=10, isolated_p=0.1, n_blocks=2, rank=4, block_p=0.25), seed=0
)
X = WORLD.batch(0, 3000, seed=0).numpy().astype(np.float64) * 50 + np.arange(32)
SMALL = X[:100, :6]


def quick(**changes) -> StableDictionary:
    how = {"k": 2, "n_seeds": 2, "n_steps": 5, "device": "cpu"} | changes
    return StableDictionary(**how)


@pytest.fixture(scope="module")
def model() -> StableDictionary:
    how = {"n_steps": 500, "batch_size": 128, "lr": 0.01, "device": "cpu"}
    return StableDictionary(48, k=4, n_seeds=8, **how).fit(X)


def test_planted_features_are_identities_and_blocks_are_subspaces(model) -> None:
    cosine = model.identities_ @ WORLD.isolated.T
    assert cosine.max(axis=0).min() > 0.98  # each feature is listed
    assert cosine.max(axis=1).min() > 0.98  # and nothing else
    assert len(model.identities_) == 10
    assert sorted(len(basis) for basis in model.subspaces_) == [4, 4]
    for u in WORLD.bases:
        assert max(np.linalg.norm(basis @ u) ** 2 / 4 for basis in model.subspaces_) > 0.98
    of_features = (model.components_ @ WORLD.isolated.T).max(axis=2) > 0.98
    assert (model.stability_[of_features] == 1).all()
    assert np.nanmean(model.stability_[~of_features]) < 0.95


def test_shapes_and_attributes(model) -> None:
    assert model.components_.shape == (8, 48, 32)
    assert np.allclose(np.linalg.norm(model.components_, axis=2), 1)
    assert model.stability_.shape == (8, 48)
    assert model.n_features_in_ == 32
    assert model.explained_variance_.shape == (8,)
    assert model.best_seed_ == model.explained_variance_.argmax()
    assert len(model.get_feature_names_out()) == 48
    for basis in model.subspaces_:
        assert np.allclose(basis @ basis.T, np.eye(len(basis)))


def test_latents_that_never_fire_have_no_p_hat(model) -> None:
    wide = quick(n_latents=200, n_steps=50, batch_size=32, k=1)
    with pytest.warns(ConvergenceWarning):
        wide.fit(X[:300])
    fires = (wide.transform(X[:300]) > 0).any(axis=0)
    assert not fires.all()
    assert np.array_equal(np.isnan(wide.stability_[wide.best_seed_]), ~fires)


def test_codes_by_hand(model) -> None:
    """relu of the k largest pre-activations, in units of X."""
    p = {n: v[model.best_seed_].double().numpy() for n, v in model.stack_.params.items()}
    x = (X[:500] - model.mean_) * model.scale_
    pre = (x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"]
    kept = np.where(pre >= np.sort(pre, axis=1)[:, -4:-3], pre, 0).clip(0)
    codes = model.transform(X[:500])
    assert np.allclose(codes, kept / model.scale_)
    assert ((codes > 0).sum(axis=1) <= 4).all()
    back = model.inverse_transform(codes)
    want = (kept @ p["w_dec"] + p["b_dec"]) / model.scale_ + model.mean_
    assert np.allclose(back, want, atol=1e-4)  # rows of w_dec have norm 1 in float32
    offset = model.inverse_transform(np.zeros((1, 48)))
    assert np.allclose(back, codes @ model.components_[model.best_seed_] + offset)


def test_score_is_the_explained_variance(model) -> None:
    x = X - X.mean(axis=0)
    miss = X - model.inverse_transform(model.transform(X))
    assert model.score(X) == pytest.approx(1 - (miss**2).sum() / (x**2).sum())
    assert model.score(X) == pytest.approx(model.explained_variance_.max(), abs=1e-5)
    assert model.score(WORLD.batch(9, 5000, seed=1).numpy() * 50 + np.arange(32)) > 0.95


@pytest.mark.slow
def test_no_warning_once_it_is_trained(recwarn) -> None:
    quick(n_latents=48, k=4, n_steps=2000, batch_size=128, lr=0.01).fit(X)
    assert [w for w in recwarn if w.category is ConvergenceWarning] == []


def test_undertrained_is_one_line() -> None:
    with pytest.warns(ConvergenceWarning, match="with half of the steps") as caught:
        quick(n_steps=40).fit(X)
    (one,) = [w for w in caught if w.category is ConvergenceWarning]
    assert "\n" not in str(one.message)
    assert one.filename == __file__


def seen(directions: np.ndarray, variance: float = 0.9) -> Evaluation:
    s, m, _ = directions.shape
    return Evaluation(directions, np.ones((s, m)), np.full(s, variance))


def test_what_counts_as_a_change() -> None:
    rng = np.random.default_rng(0)
    apart = unit(rng.standard_normal((6, 30, 40)))  # no two of cosine .7
    alike = apart[:1].repeat(6, axis=0)
    most = apart.copy()
    most[0] = most[1]  # one pair of seeds agrees by chance: its jackknife interval holds 0
    words = "p_hat 0.00 with half of the steps, 1.00 with all"
    assert estimator._changes(seen(apart[:4]), seen(alike)) == words
    assert estimator._changes(seen(apart[:2]), seen(alike)) == ""
    assert estimator._changes(seen(apart[:4]), seen(most)) == ""
    assert estimator._changes(seen(apart[:4], 0.88), seen(apart)).startswith("explained variance")
    assert estimator._changes(seen(apart[:4], 0.892), seen(apart)) == ""
    assert " and p_hat" in estimator._changes(seen(apart[:4], 0.5), seen(alike))


def bits(m: StableDictionary) -> list[bytes]:
    return [p.numpy().tobytes() for p in m.stack_.params.values()] + [m.stability_.tobytes()]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
class TestSeeds:
    def test_a_fit_repeats_to_the_bit(self) -> None:
        one = bits(quick().fit(SMALL))
        assert bits(quick(random_state=0).fit(SMALL)) == one
        torch.randn(3)
        np.random.default_rng()
        again = quick().fit(SMALL[::2]).fit(SMALL)
        assert bits(again) == one
        assert bits(quick(random_state=1).fit(SMALL)) != one

    def test_a_seed_alone_is_the_seed_in_the_stack(self) -> None:
        two, five = (quick(n_seeds=s, n_steps=50).fit(SMALL) for s in (2, 5))
        assert five.stack_.seeds[:2] == two.stack_.seeds
        for name, p in two.stack_.params.items():
            torch.testing.assert_close(five.stack_.params[name][:2], p, atol=1e-4, rtol=1e-4)

    def test_root_seeds_share_no_seed(self) -> None:
        a, b = (quick(n_seeds=4, random_state=r).fit(SMALL).stack_.seeds for r in (0, 1))
        assert len({*a, *b}) == 8

    @settings(max_examples=8)
    @given(st.integers(-20, 20))
    def test_units_of_x_are_units_of_the_codes(self, power: int) -> None:
        factor = 2.0**power  # exact in floating point
        a, b = quick().fit(SMALL), quick().fit(SMALL * factor)
        assert np.array_equal(a.components_, b.components_)
        assert np.allclose(b.transform(SMALL * factor), a.transform(SMALL) * factor, rtol=1e-12)
        assert b.score(SMALL * factor) == pytest.approx(a.score(SMALL))

    @pytest.mark.parametrize("arch", ARCHITECTURES)
    def test_every_architecture_encodes(self, arch: str) -> None:
        model = quick(n_latents=16, arch=arch).fit(SMALL)
        for kind in (np.float32, np.float64):
            codes = model.transform(SMALL.astype(kind))
            assert codes.dtype == kind
            assert (codes >= 0).all()
            assert model.inverse_transform(codes).dtype == kind
        assert model.score(SMALL) == pytest.approx(model.explained_variance_.max(), abs=1e-5)

    def test_rows_in_batches_are_rows_in_one(self, monkeypatch) -> None:
        model = quick().fit(SMALL)
        codes, score = model.transform(SMALL), model.score(SMALL)
        monkeypatch.setattr(estimator, "BATCH", 7)
        assert np.allclose(model.transform(SMALL), codes, rtol=1e-12)
        assert model.score(SMALL) == pytest.approx(score)

    def test_options_reach_the_architecture(self) -> None:
        model = quick(arch="relu", options={"coefficient": 0.5}).fit(SMALL)
        assert model.stack_.config.options.coefficient == 0.5

    def test_bases_are_not_padded(self, monkeypatch) -> None:
        basis = np.stack([np.eye(3, 6), np.diag([1.0, 1, 0]) @ np.eye(3, 6)])
        made = {
            "identity_direction": (("identity", "dim"), np.zeros((0, 6))),
            "subspace_basis": (("subspace", "axis", "dim"), basis),
            "subspace_rank": ("subspace", [3, 2]),
        }
        monkeypatch.setattr(estimator, "consensus", lambda *a, **k: xr.Dataset(made))
        assert [b.shape for b in quick().fit(SMALL).subspaces_] == [(3, 6), (2, 6)]

    def test_parameters_reach_the_training_and_the_lists(self) -> None:
        model = quick(n_latents=16, level=0.9).fit(SMALL)
        assert bits(model) == bits(quick(n_latents=16, lr=0.1 / 4).fit(SMALL))
        assert model.consensus_.attrs["level"] == 0.9
        assert {"identity_rate", "identity_energy"} <= {*model.consensus_}
        scaled = (SMALL - model.mean_) * model.scale_
        assert (scaled**2).sum(axis=1).mean() == pytest.approx(6)

    def test_some_seeds_that_diverge_are_named(self, monkeypatch) -> None:
        train = estimator.train
        monkeypatch.setattr(
            estimator, "train", lambda *a, **k: replace(train(*a, **k), frozen={1: 3})
        )
        with pytest.warns(ConvergenceWarning, match=r"SAEs \[1\]"):
            quick().fit(SMALL)

    def test_a_seed_s_rows_come_once_an_epoch(self) -> None:
        rows = estimator._Rows(np.arange(40.0).reshape(20, 2))
        got = torch.cat([rows.batch(t, 5, seed=3) for t in range(4)])
        assert sorted(got[:, 0].tolist()) == list(range(0, 40, 2))


LINE = np.outer(np.random.default_rng(0).standard_normal(200), np.ones(5))
HOLE = SMALL.copy()
HOLE[3, 2] = np.nan
REFUSED = {
    "X": [({}, HOLE), ({}, np.ones((9, 3))), ({}, SMALL * 1e-200), ({}, SMALL * 1e306)],
    "k": [({"n_latents": 8, "k": 9}, SMALL), ({"k": 0}, SMALL), ({"k": 13}, SMALL)],
    "n_latents": [
        ({"n_latents": 0}, SMALL),
        ({"n_latents": 2, "k": 1, "n_seeds": 4, "n_steps": 300, "lr": 0.02}, LINE),
    ],
    "n_seeds": [({"n_seeds": 1}, SMALL)],
    "random_state": [({"random_state": -1}, SMALL), ({"random_state": "a"}, SMALL)],
    "arch": [({"arch": "topq"}, SMALL)],
    "options.penalty": [({"options": {"penalty": 1}}, SMALL)],
    "lr": [({"lr": 0.0}, SMALL)],
    "level": [({"level": 1.0}, SMALL)],
}


@pytest.mark.parametrize(
    ("field", "i"), [(f, i) for f, v in REFUSED.items() for i in range(len(v))]
)
def test_refused_in_one_line(field: str, i: int) -> None:
    changes, x = REFUSED[field][i]
    with pytest.raises(ConfigError) as caught:
        quick(**changes).fit(x)
    assert caught.value.field == field
    assert "\n" not in str(caught.value)


def test_one_row_and_other_codes_are_refused(model) -> None:
    with pytest.raises(ValueError, match="1 sample") as caught:
        quick().fit(SMALL[:1])
    assert "\n" not in str(caught.value)
    with pytest.raises(ConfigError) as error:
        model.inverse_transform(np.zeros((2, 47)))
    assert error.value.field == "X's M"


def test_it_is_a_name_of_the_package() -> None:
    assert synthsae.StableDictionary is StableDictionary
