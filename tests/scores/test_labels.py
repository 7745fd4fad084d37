"""The labelled floor names dimensions and computes nothing."""

import inspect

import numpy as np
import pytest
import xarray as xr

from synthsae.scores import labels
from synthsae.scores.labels import Labelled

SIZES = dict(
    seed=3,
    latent=8,
    latent_a=8,
    latent_b=5,
    dim=6,
    feature=4,
    feature_a=4,
    feature_b=4,
    axis=2,
    axis_a=2,
    axis_b=3,
    sample=20,
)
ALL = {name: m for name, m in vars(labels).items() if isinstance(m, Labelled)}


def arrays(metric: Labelled) -> list[xr.DataArray]:
    rng = np.random.default_rng(0)
    given = []
    for dims in metric.inputs:
        if dims == ("removed",):
            given.append(xr.DataArray(np.arange(SIZES["latent"]), dims=dims))
            continue
        values = rng.random([SIZES[d] for d in dims])
        if dims == ("feature_a", "feature_b"):
            values += values.T
        given.append(xr.DataArray(values, {d: np.arange(SIZES[d]) * 10 for d in dims}, dims))
    return given


@pytest.mark.parametrize("name", ALL)
def test_labels_the_plain_result(name: str) -> None:
    metric = ALL[name]
    given = arrays(metric)
    want = np.asarray(metric.plain(*(a.values for a in given)))
    got = metric(*given)
    assert got.dims == metric.output
    assert np.array_equal(got.values, want, equal_nan=want.dtype.kind == "f")
    assert got.attrs["long_name"] == metric.long_name
    assert "units" in got.attrs
    backwards = metric(*(a.transpose(*reversed(a.dims)) for a in given))
    xr.testing.assert_identical(backwards, got)
    bare = metric(*(a.values for a in given))
    assert np.array_equal(bare.values, got.values, equal_nan=want.dtype.kind == "f")


def test_coordinates_are_kept() -> None:
    (directions,) = arrays(labels.reappearance)
    p_hat = labels.reappearance(directions, theta=0.9)
    assert list(p_hat.seed.values) == [0, 10, 20]
    pairs = labels.pairwise_mcc(directions)
    assert list(pairs.seed_a.values) == list(pairs.seed_b.values) == [0, 10, 20]


def test_options_may_be_labelled_too() -> None:
    (directions,) = arrays(labels.reappearance)
    live = xr.DataArray(np.arange(24).reshape(3, 8) % 3 > 0, dims=("seed", "latent"))
    p_hat = labels.reappearance(directions, live=live)
    assert np.array_equal(np.isnan(p_hat), ~live)


def test_further_dimensions_are_kept() -> None:
    x, x_hat = arrays(labels.explained_variance)
    stack = xr.concat([x_hat, x], xr.IndexVariable("seed", [7, 8]))
    ev = labels.explained_variance(x, stack)
    assert ev.dims == ("seed",)
    assert list(ev.seed.values) == [7, 8]
    assert ev.sel(seed=8) == 1


def test_every_labelled_metric_has_a_documented_plain_one() -> None:
    assert len(ALL) > 25
    for metric in ALL.values():
        assert inspect.getdoc(metric.plain)
