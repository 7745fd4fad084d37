"""The reader over arrays at hand: batches, the cut, centre and scale, and what is refused."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from cells import computed
from matplotlib.figure import Figure
from numpy.typing import NDArray
from safetensors.torch import save_file

from realdata.activations import Activations
from synthsae import SAEConfig, SAEStack, load_saelens, open_results
from synthsae.checks import ConfigError
from synthsae.config.sources import SourceConfig
from synthsae.evaluation import evaluate
from synthsae.sae import ARCHITECTURES
from synthsae.study import Grid, Study, load, plan
from synthsae.study.runner import assemble, run

X = np.random.default_rng(0).normal(3, 2, (1000, 6)).astype(np.float32)


def save(path: Path, x: NDArray) -> None:
    if path.suffix == ".npy":
        np.save(path, x)
    elif path.suffix == ".safetensors":
        save_file({"x": torch.from_numpy(x)}, path)
    else:
        zarr.create_array(path, data=x, chunks=(64, 3))


@pytest.fixture
def opened(tmp_path: Path) -> Any:
    def made(x: NDArray = X, kind: str = ".npy", **fields: Any) -> Activations:
        path = tmp_path / f"x{kind}"
        if not path.exists():
            save(path, x)
        source = {"arrays": str(path), "held_out": 0.2, "cache": str(tmp_path / "cache")} | fields
        return Activations.open(SourceConfig(**source))

    return made


RAW = {"center": False, "scale": False, "max_norm": 0.0}


@pytest.mark.parametrize("kind", [".npy", ".safetensors", ".zarr"])
def test_rows_are_those_of_the_file(opened: Any, kind: str) -> None:
    for _ in range(2):  # the second time from the cache
        found = opened(kind=kind, **RAW)
        assert (found.d_model, found.n_train, found.n_eval) == (6, 800, 200)
        assert np.array_equal(found.read(np.arange(800), "data"), X[:800])
        assert np.array_equal(found.read(np.arange(200), "eval"), X[800:])


def test_batches_are_functions_of_their_arguments(opened: Any) -> None:
    found, again = opened(**RAW), opened(**RAW)
    x = found.batch(3, 64, seed=5)
    assert x.dtype == torch.float32
    assert x.shape == (64, 6)
    again.batch(0, 10, seed=1)
    assert torch.equal(again.batch(3, 64, seed=5), x)
    assert torch.equal(found.read(found.rows(3, 64, seed=5), "data"), x)
    for other in (found.batch(3, 64, seed=6), found.batch(4, 64, seed=5)):
        assert not torch.equal(other, x)
    whole = torch.cat([found.batch(t, 64, seed=5) for t in range(6)])
    assert torch.equal(whole, found.batch(0, 384, seed=5))  # batches are cuts of one order


def test_an_epoch_has_every_training_row_once(opened: Any) -> None:
    found = opened(**RAW)
    for epoch in (0, 1):
        x = found.batch(epoch, 800, seed=0).numpy()
        assert np.array_equal(x[np.lexsort(x.T)], X[:800][np.lexsort(X[:800].T)])
    x = found.batch(0, 200, seed=0, stream="eval").numpy()
    assert np.array_equal(x[np.lexsort(x.T)], X[800:][np.lexsort(X[800:].T)])


def test_centre_and_scale_are_those_of_the_training_rows(opened: Any) -> None:
    x = opened(max_norm=0.0).read(np.arange(800), "data").double()
    torch.testing.assert_close(x.mean(0), torch.zeros(6).double(), rtol=0, atol=1e-6)
    assert (x**2).sum(1).mean() == pytest.approx(6)
    only_scaled = opened(max_norm=0.0, center=False).read(np.arange(800), "data").double()
    assert (only_scaled**2).sum(1).mean() == pytest.approx(6)
    ratio = only_scaled.numpy() / X[:800]
    assert np.ptp(ratio) < 1e-6
    only_centred = opened(max_norm=0.0, scale=False).read(np.arange(200), "eval")
    expected = X[800:] - X[:800].mean(0, dtype=float)
    np.testing.assert_allclose(only_centred, expected, atol=1e-6)


def test_undo(opened: Any) -> None:
    found = opened()
    back = found.normal.undo(found.read(np.arange(200)))
    np.testing.assert_allclose(back, X[800:], atol=1e-5)
    torch.testing.assert_close(found.normal.apply(back), found.read(np.arange(200)))


def test_the_cut_of_extreme_norms(opened: Any) -> None:
    x = X.copy()
    large = [0, 1, 77, 500, 799, 800, 999]
    x[large] *= 50
    found = opened(x, center=False, scale=False, max_norm=10.0)
    assert found.statistics.left_out == {"train": large[:5], "eval": [800 - 800, 999 - 800]}
    median = np.median(np.linalg.norm(x[:800], axis=1))
    assert found.statistics.median_norm == pytest.approx(median)
    kept = np.delete(np.arange(1000), large)
    assert (found.n_train, found.n_eval) == (795, 198)
    assert np.array_equal(found.read(np.arange(795), "data"), x[kept[:795]])
    assert np.array_equal(found.read(np.arange(198), "eval"), x[kept[795:]])
    np.testing.assert_allclose(found.statistics.mean, x[kept[:795]].mean(0, dtype=float))
    assert found.statistics.square == pytest.approx(
        (x[kept[:795]].astype(float) ** 2).sum(1).mean()
    )
    epoch = found.batch(0, 795, seed=0).numpy()
    assert np.linalg.norm(epoch, axis=1).max() <= 10 * median
    assert opened(x, max_norm=0.0).n_train == 800


def test_every_cut_has_statistics_of_its_own(opened: Any) -> None:
    for cut in (2.000001, 2.0000049, 2.000001):
        assert opened(max_norm=cut).statistics.max_norm == cut


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_other_floats(opened: Any, dtype: Any) -> None:
    found = opened(X.astype(dtype), **RAW)
    assert np.array_equal(found.read(np.arange(200)), X[800:].astype(dtype).astype(np.float32))


def test_bfloat16_and_named_tensors(tmp_path: Path) -> None:
    x = torch.from_numpy(X).bfloat16()
    path = tmp_path / "x.safetensors"
    save_file({"acts": x, "a": torch.zeros(3)}, path)
    fields = {"cache": str(tmp_path), **RAW}
    found = Activations.open(SourceConfig(arrays=f"{path}:acts", **fields))
    assert torch.equal(found.read(np.arange(100)), x[900:].float())
    for name in (str(path), f"{path}:nothing"):
        with pytest.raises(ConfigError, match=r"allowed: .*x.safetensors:a, .*:acts"):
            Activations.open(SourceConfig(arrays=name, **fields))


@pytest.mark.parametrize("kind", [".npy", ".safetensors", ".zarr"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(opened: Any, kind: str, value: float) -> None:
    x = X.copy()
    x[[30, 40, 700], 2] = value
    with pytest.raises(ConfigError) as error:
        opened(x, kind)
    assert error.value.field == "source"
    assert "3 of 800" in error.value.allowed
    assert "row 30 of the train" in error.value.allowed


def test_what_arrays_have_not(opened: Any) -> None:
    found = opened()
    for ask in (found.contexts, lambda: found.tokens(np.arange(2)), lambda: found.model):
        with pytest.raises(ValueError, match="allowed: a language model"):
            ask()
    with pytest.raises(ConfigError) as error:
        found.batch(0, 2, seed=0, stream="null")
    assert (error.value.field, error.value.value) == ("stream", "null")


@pytest.mark.parametrize("fields", [{}, RAW], ids=["scaled", "raw"])
@pytest.mark.parametrize("where", [slice(None), slice(800), slice(800, None)])
def test_activations_that_do_not_vary(opened: Any, where: slice, fields: dict[str, Any]) -> None:
    x = X.copy()
    x[where] = 0.1
    with pytest.raises(ConfigError) as error:
        opened(x, **fields)
    assert error.value.field == "source"
    assert "vary" in error.value.allowed


def test_a_cut_beyond_a_few_percent_is_said_once(opened: Any, capfd: Any) -> None:
    x = X.copy()
    x[:16] *= 100  # 2% of 800
    x[800:810] *= 100  # 5% of 200
    for _ in range(2):
        found = opened(x)
        assert (found.n_train, found.n_eval) == (784, 190)
        assert found.about["rows"] == {"train": 800, "eval": 200}
        assert found.about["left_out"] == {"train": 16, "eval": 10}
        assert found.about["zero"] == {"train": 0, "eval": 0}
        assert found.about["max_norm"] == 10
        assert found.about["median_norm"] == pytest.approx(
            np.median(np.linalg.norm(x[:800], axis=1))
        )
    told = capfd.readouterr().err.splitlines()
    assert len(told) == 1
    assert "10 of 200 eval rows (5.0%)" in told[0]


@pytest.mark.parametrize(
    ("where", "words"),
    [
        (slice(81), "81 of 800 are"),
        (slice(800, 821), "21 of 200 are"),
        (slice(800, None), "200 of 200"),
    ],
)
def test_a_cut_of_more_than_a_tenth_is_refused(opened: Any, where: slice, words: str) -> None:
    x = X.copy()
    x[where] *= 1e4
    for _ in range(2):  # when measured, and when read from the cache
        with pytest.raises(ConfigError, match=words) as error:
            opened(x)
        assert (error.value.field, error.value.value) == ("source.max_norm", 10)
    assert opened(x, max_norm=0.0).n_train == 800


def test_zero_rows_are_counted_and_do_not_move_the_median(opened: Any, capfd: Any) -> None:
    x = X.copy()
    x[:600] = 0
    x[700] *= 50
    found = opened(x)
    assert found.about["zero"] == {"train": 600, "eval": 0}
    assert found.statistics.left_out == {"train": [700], "eval": []}
    assert found.statistics.median_norm == pytest.approx(
        np.median(np.linalg.norm(x[600:800], axis=1))
    )
    assert (found.read(np.arange(799), "data").double() ** 2).sum(1).mean() == pytest.approx(6)
    assert "600 of 800 train rows (75.0%)" in capfd.readouterr().err
    with pytest.raises(ConfigError) as error:
        opened(x * 0, kind=".safetensors")
    assert error.value.field == "source"
    assert "vary" in error.value.allowed


@pytest.mark.parametrize("size", [1e-30, 1e-12, 1e12, 1e30])
def test_sizes_that_are_scaled(opened: Any, size: float) -> None:
    x = opened((X * size).astype(np.float32)).read(np.arange(800), "data").double()
    assert (x**2).sum(1).mean() == pytest.approx(6, rel=1e-5)
    want = (X[:800] - X[:800].mean(0, dtype=float)) / X[:800].std(0, dtype=float).mean()
    assert np.corrcoef(x.numpy().ravel(), want.ravel())[0, 1] > 0.99


@pytest.mark.parametrize(
    ("size", "fields"), [(1e-42, {}), (1e37, {}), (1e-20, RAW), (1e20, RAW)], ids=str
)
def test_sizes_beyond_float32(opened: Any, size: float, fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as error:
        opened((X.astype(np.float64) * size).astype(np.float32), **fields)
    assert error.value.field == "source"


def test_numbers_beyond_float32_are_not_finite(opened: Any) -> None:
    x = X.astype(np.float64)
    x[[30, 40, 700], 2] = 1e300
    with pytest.raises(ConfigError) as error:
        opened(x)
    assert "3 of 800" in error.value.allowed


def test_one_dimension_and_a_constant_column(opened: Any) -> None:
    x = opened(X[:, :1]).read(np.arange(800), "data").numpy()
    np.testing.assert_allclose(x, (X[:800, :1] - X[:800, :1].mean()) / X[:800, :1].std(), atol=1e-5)
    y = X.copy()
    y[:, 3] = 1e7  # whose square hides the variance of the others
    x = opened(y, kind=".safetensors").read(np.arange(800), "data").numpy()
    np.testing.assert_allclose(x[:, 3], 0, atol=1e-6)
    assert (x.astype(float) ** 2).sum(1).mean() == pytest.approx(6)


def grid_of(x: NDArray, folder: Path, cuts: list[float]) -> tuple[Study, Grid]:
    np.save(folder / "x.npy", x)
    seeds = replace(load("seed_stability"), axes={})
    study = replace(seeds, figure=lambda ds: Figure(), supplement=None, finding=lambda ds: "")
    fields = {"source.arrays": str(folder / "x.npy"), "source.cache": str(folder / "cache")}
    fields |= {"source.passes": 0, "train.n_steps": 2, "n_seeds": 2, "eval_samples": 50}
    return study, plan(study, fields | {"source.max_norm": cuts, "sae.n_latents": 8})


def test_a_refused_cell_ends_a_run_if_no_other_is_left(tmp_path: Path, capsys: Any) -> None:
    x = X.copy()
    x[:300] *= 100
    with pytest.raises(ConfigError, match="300 of 900"):
        run("s", *grid_of(x, tmp_path, [10.0]), tmp_path / "out")
    study, grid = grid_of(x, tmp_path, [10.0, 0.0])
    assert run("s", study, grid, tmp_path / "out") == 1
    assert "failed: source.max_norm: 10.0" in capsys.readouterr().out
    found = open_results("s", tmp_path / "out")
    assert list(json.loads(found.attrs["source"])) == [grid.cells[1].digest]


def test_a_study_records_the_cut_by_cell(tmp_path: Path) -> None:
    """Under the hash of each cell, without which an older cell is read all the same."""
    x = X.copy()
    x[:3] *= 100
    study, grid = grid_of(x, tmp_path, [0.0, 10.0])
    cells = computed(grid, study, tmp_path / "out")
    found = json.loads(assemble(grid, cells).attrs["source"])
    assert [found[c.digest]["left_out"]["train"] for c in grid.cells] == [0, 3]
    assert [found[c.digest]["max_norm"] for c in grid.cells] == [0, 10]
    del cells[grid.cells[0].digest].attrs["source"]
    assert list(json.loads(assemble(grid, cells).attrs["source"])) == [grid.cells[1].digest]
    del cells[grid.cells[1].digest].attrs["source"]
    assert "source" not in assemble(grid, cells).attrs


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_folded_saes_do_on_the_rows_what_they_did_on_normalised_ones(
    opened: Any, arch: str
) -> None:
    """In float64, where no latent is chosen by rounding."""
    normal = opened().normal
    assert abs(normal.factor - 1) > 0.1
    stack = SAEStack.init(SAEConfig(arch=arch, n_latents=16, k=3), 6, (0, 1))
    generator = torch.Generator().manual_seed(0)
    for name, p in stack.params.items():
        stack.params[name] = p.double()
        if p.dim() > 1:  # all but the training's own state and BatchTopK's threshold
            stack.params[name] += 0.3 * torch.randn(p.shape, generator=generator).double()
    x = torch.from_numpy(X[800:]).double()
    before = {name: p.clone() for name, p in stack.params.items()}
    folded, seen = normal.fold(stack), normal.apply(x)
    code, want = folded.encode(x), stack.encode(seen)
    assert 0.02 < (want.dense(16) > 0).double().mean() < 0.9
    torch.testing.assert_close(code.dense(16), want.dense(16), rtol=0, atol=1e-12)
    out = normal.undo(stack.decode(want))
    torch.testing.assert_close(folded.decode(code), out, rtol=0, atol=1e-12)
    assert (folded.config, folded.seeds) == (stack.config, stack.seeds)
    assert all(torch.equal(p, before[name]) for name, p in stack.params.items())


def test_the_example_of_the_readme_explains_what_the_model_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is read back and judged on the rows of the file."""
    rng = np.random.default_rng(0)
    atoms = rng.standard_normal((12, 8))
    codes = (rng.random((6000, 12)) < 0.1) * (1 + rng.random((6000, 12)))
    x = (7 * codes @ atoms + np.linspace(-30, 30, 8)).astype(np.float32)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SYNTHSAE_CACHE", str(tmp_path / "cache"))
    np.save("acts.npy", x)
    text = (Path(__file__).parents[2] / "realdata" / "README.md").read_text()
    found: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], found)
    held, stack = torch.from_numpy(x[-600:]), load_saelens("seed_0")
    miss = held - stack.decode(stack.encode(held))[0]
    ev = 1 - float(miss.square().sum() / (held - held.mean(0)).square().sum())
    trained, source = found["trained"].stack, found["source"]
    want = float(evaluate(trained, source, 600).explained_variance[0])
    assert want > 0.5
    assert ev == pytest.approx(want, abs=1e-4)
