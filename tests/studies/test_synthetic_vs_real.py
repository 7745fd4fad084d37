"""synthetic_vs_real: the headline shows the classes and ranks of the Dataset."""

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.synthetic_vs_real.figure import classes_and_ranks

LABELS = ["stable", "middle", "unstable"]


def sources(n: int) -> xr.Dataset:
    """Made-up shares and ranks of four seeds of n sources, which have 4, 8, ... dimensions."""
    rng = np.random.default_rng(0)
    r, d = np.arange(4 * n + 1), 4 * np.arange(1, n + 1)[:, None]
    values = {
        "stable_share": (("model", "seed"), rng.uniform(0.1, 0.4, (n, 4))),
        "unstable_share": (("model", "seed"), rng.uniform(0.1, 0.4, (n, 4))),
        "class_latent_rank": (("model", "seed", "label"), rng.uniform(1, 4, (n, 4, 3))),
        "transfer_chance": (("model", "r"), np.where(r <= d, r / d, np.nan)),
    }
    names = ["", "folder/small", "folder/large"][:n]
    return xr.Dataset(values, {"model": names, "label": LABELS})


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_headline_has_classes_and_ranks_of_every_source(n: int) -> None:
    ds = sources(n)
    left, right = (figure := classes_and_ranks(ds)).axes
    widths = np.reshape([bar.get_width() for bar in left.patches], (n, 3))
    np.testing.assert_allclose(widths[:, 0], ds.stable_share.mean("seed"))
    np.testing.assert_allclose(widths[:, 2], ds.unstable_share.mean("seed"))
    np.testing.assert_allclose(widths.sum(axis=1), 1)
    points = np.reshape([float(c[0].get_ydata()[0]) for c in right.containers], (n, 3))
    np.testing.assert_allclose(points, ds.class_latent_rank.mean("seed"))
    names = ["planted world", "small", "large"][:n]
    assert [text.get_text() for text in left.get_yticklabels()] == names
    dims = [text.get_text() for text in right.texts]
    assert dims == [f"all {4 * i} dimensions of {s}" for i, s in enumerate(names, 1)]
    assert f"{ds.stable_share[-1].mean():.0%} in {names[-1]}" in figure.get_suptitle()


def test_classes_without_latents_have_no_point() -> None:
    ds = sources(2)
    ds.class_latent_rank[:, :, 0] = np.nan
    right = classes_and_ranks(ds).axes[1]
    points = np.reshape([float(c[0].get_ydata()[0]) for c in right.containers], (2, 3))
    assert np.isnan(points[:, 0]).all()


def test_intervals_of_ranks_end_at_one() -> None:
    ds = sources(1)
    ds.class_latent_rank[:, :, 0] = [1, 1, 1, 4]
    bars = classes_and_ranks(ds).axes[1].containers[0][2][0].get_segments()[0]
    assert bars[:, 1].min() == 1
