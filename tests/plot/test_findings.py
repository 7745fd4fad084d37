"""What studies say and draw where something is missing: no nan, no warning, no impossible range."""

import re
import warnings
from collections.abc import Callable
from string import Formatter

import numpy as np
import pytest
import xarray as xr
from cells import computed
from matplotlib.figure import Figure
from matplotlib.text import Text

from synthsae.plot import phrases
from synthsae.seeds.intervals import interval_of
from synthsae.stats import Interval
from synthsae.study import load, names, plan
from synthsae.study.runner import assemble

TINY = {
    "train.n_steps": 12,
    "train.batch_size": 32,
    "train.device": "cpu",
    "n_seeds": 3,
    "eval_samples": 256,
    "world_seed": (0,),
}
OWN: dict[str, dict] = {
    "atoms_sweep": {"train.n_steps": (5, 12)},
    "budget_sweep": {"train.n_steps": (0, 12)},
    "consensus": {"n_seeds": 4},
    "excess": {"train.n_steps": (5, 12)},
    "law_sweep": {"world.rank": (2, 4)},
    "pooling": {"n_seeds": 8},
    "seed_sources": {"train.n_steps": (5, 12)},
    "song_toy": {"train.n_steps": (5, 12)},
    "synthetic_vs_real": {"sae.n_latents": 32},
}
WRONG = re.compile(r"\b(nan|inf|None)\b|\b1 (latents|groups|seeds|SAEs|values)\b|, ,|\(\)|\[\]")
SEEDS = ("seed", "seed_a", "seed_b")


QUICK = ("consensus", "rank_sweep", "song_toy")
"""Studies that the default run tries; all others are slow. Each study has a file of tests, too."""
STUDIES = [
    name if name in QUICK else pytest.param(name, marks=pytest.mark.slow) for name in names()
]


@pytest.fixture(scope="module", params=STUDIES)
def saved(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[str, xr.Dataset]:
    """The Dataset of a study whose SAEs have hardly been trained."""
    study = load(request.param)
    grid = plan(study, TINY | OWN.get(request.param, {}), quick=True)
    return request.param, assemble(grid, computed(grid, study, tmp_path_factory.mktemp("out")))


IN_FIGURES = ("unchanged", "two seeds", "first seed missing")


def incomplete(ds: xr.Dataset) -> dict[str, Callable[[], xr.Dataset]]:
    """Ways in which numbers are missing or all equal, or an axis has one value -> the Dataset."""
    numeric = [str(n) for n, v in ds.data_vars.items() if v.dtype.kind in "fiub"]

    def replaced(change: Callable[[xr.DataArray], xr.DataArray], *names: str) -> xr.Dataset:
        return ds.assign({name: change(ds[name]) for name in names})

    made: dict[str, Callable[[], xr.Dataset]] = {
        "unchanged": lambda: ds,
        "all missing": lambda: replaced(lambda v: v * np.nan, *numeric),
        "all 0": lambda: replaced(lambda v: xr.full_like(v, 0.0, float), *numeric),
        "all 1": lambda: replaced(lambda v: xr.full_like(v, 1.0, float), *numeric),
        "two seeds": lambda: ds.isel({d: slice(2) for d in SEEDS if d in ds.dims}),
        "only the first seed": lambda: replaced(lambda v: _only(v, slice(1)), *numeric),
        "first seed missing": lambda: replaced(lambda v: _only(v, slice(1, None)), *numeric),
    }
    for name in numeric:
        made[f"{name} missing"] = lambda name=name: replaced(lambda v: v * np.nan, name)
    for axis in ("n_steps", "n_latents", "rank", "k", "beta", "correlation", "noise"):
        if axis in ds.dims:
            made[f"one {axis}"] = lambda axis=axis: ds.isel({axis: [-1]})
    return made


def _only(values: xr.DataArray, kept: slice) -> xr.DataArray:
    """NaN for the other seeds, as where they froze."""
    for d in SEEDS:
        if d in values.dims:
            values = values.where(values[d].isin(values[d].values[kept]))
    return values


def test_no_sentence_has_what_is_not_known(saved: tuple[str, xr.Dataset]) -> None:
    study, wrong = load(saved[0]), []
    for case, ds in ((case, made()) for case, made in incomplete(saved[1]).items()):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            finding = study.finding(ds)
        text, lines = finding.sentence, str(finding)
        wrong += [(case, m[0], text) for m in WRONG.finditer(text)]
        wrong += [(case, "nan", lines)] if re.search(r"\bnan\b", lines) else []
    assert not wrong


def test_a_sentence_is_short(saved: tuple[str, xr.Dataset]) -> None:
    """At most 60 words, of them four numbers."""
    found = load(saved[0]).finding(saved[1])
    fields = [name for _, name, _, _ in Formatter().parse(found.text) if name]
    numbers = [name for name in fields if not isinstance(found.values[name], str)]
    assert len(found.sentence.split()) <= 60, found.sentence
    assert len(numbers) <= 4, found.sentence


def test_no_figure_shows_what_is_not_known(saved: tuple[str, xr.Dataset]) -> None:
    study, cases = load(saved[0]), incomplete(saved[1])
    for case in IN_FIGURES:
        ds = cases[case]()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            figure = study.figure(ds)
        assert isinstance(figure, Figure)
        for text in figure.findobj(Text):
            assert not re.search(r"\b(nan|inf|None)\b", text.get_text()), (case, text)


def test_numbers_in_words() -> None:
    score = Interval(*np.array([0.766, 0.288, 1.245]))
    assert phrases.interval(score, ".3f") == "0.766 [0.288, 1.000]"
    assert phrases.interval(score, ".3f", phrases.ANY) == "0.766 [0.288, 1.245]"
    assert phrases.interval(Interval(*np.array([0.1, -0.2, 0.4]))) == "0.10 [0.00, 0.40]"
    assert phrases.interval(Interval(*np.array([0.5, np.nan, np.nan]))) == "0.50"
    assert phrases.interval(Interval(*np.full(3, np.nan))) == "unknown"
    assert phrases.number(np.inf) == phrases.number(np.nan) == "unknown"
    assert phrases.number(-0.001) == "0.00"
    assert phrases.number(-0.01) == "-0.01"
    assert phrases.span([64, 64], ".0f") == "64"
    assert phrases.span([16, 64], ".0f") == "16 to 64"
    assert phrases.extremes([np.nan, 0.2, 0.1]) == "0.10 to 0.20"
    assert phrases.extremes([]) == phrases.extremes([np.nan]) == "unknown"
    assert phrases.count(1, "latent") == "1 latent"
    assert phrases.count(0, "latent") == "0 latents"


def test_seeds_without_all_pairs_are_left_out() -> None:
    pairs = xr.DataArray(np.random.default_rng(0).random((4, 4)), dims=("seed_a", "seed_b"))
    want = interval_of(pairs[[0, 1, 3]][:, [0, 1, 3]])
    for lost in ({"seed_a": 2}, {"seed_b": 2}):
        some = pairs.copy()
        some[lost] = np.nan
        assert interval_of(some) == want
