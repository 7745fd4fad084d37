"""The reader over arrays at hand: batches, the cut, centre and scale, and what is refused."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import zarr
from numpy.typing import NDArray
from safetensors.torch import save_file

from realdata.activations import Activations
from realdata.config import SourceConfig
from synthsae import SAEConfig, SAEStack, load_saelens
from synthsae.checks import ConfigError
from synthsae.evaluate import evaluate
from synthsae.sae import ARCHITECTURES

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
    assert found.statistics.cut == {"train": large[:5], "eval": [800 - 800, 999 - 800]}
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
    for cut in (1.000001, 1.0000049, 1.000001):
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


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (X[0], r"two dimensions \[rows, D\], not \(6,\)"),
        (X[:1], "two rows or more"),
        (np.zeros((9, 3), np.int64), "floats, not int64"),
    ],
)
def test_arrays_of_other_kinds(opened: Any, x: NDArray, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        opened(x).batch(0, 2, seed=0)


@pytest.mark.parametrize("kind", [".npy", ".safetensors", ".zarr"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_not_finite(opened: Any, kind: str, value: float) -> None:
    x = X.copy()
    x[[30, 40, 700], 2] = value
    with pytest.raises(ConfigError, match=r"3 of 800 are NaN or infinite, row 30 of the train"):
        opened(x, kind)


def test_files_that_are_refused(tmp_path: Path) -> None:
    def refused(name: str, words: str) -> None:
        with pytest.raises(ConfigError, match=words):
            Activations.open(SourceConfig(arrays=str(tmp_path / name), cache=str(tmp_path / "c")))

    np.save(tmp_path / "object.npy", np.array([{"a": 1}]), allow_pickle=True)
    refused("object.npy", "an array of floats .*Python objects")
    (tmp_path / "x.pt").write_bytes(b"x")
    refused("x.pt", r"a .npy, .safetensors, .zarr file that exists")
    refused("absent.npy", r"a .npy, .safetensors, .zarr file that exists")
    (tmp_path / "short.npy").write_bytes(b"\x93NUM")
    refused("short.npy", "an array of floats")
    (tmp_path / "short.safetensors").write_bytes((99).to_bytes(8, "little"))
    refused("short.safetensors", "an array of floats .*damaged")
    save_file({"x": torch.from_numpy(X)}, tmp_path / "cut.safetensors")
    data = (tmp_path / "cut.safetensors").read_bytes()
    (tmp_path / "cut.safetensors").write_bytes(data[:-1])
    refused("cut.safetensors", "an array of floats .*ends before its data")
    save_file({"x": torch.zeros(3, 3, dtype=torch.int32)}, tmp_path / "int.safetensors")
    refused("int.safetensors", "an array of floats .*it holds I32")


def test_what_arrays_have_not(opened: Any) -> None:
    found = opened()
    for ask in (found.contexts, lambda: found.tokens(np.arange(2)), lambda: found.model):
        with pytest.raises(ValueError, match="allowed: a language model"):
            ask()
    with pytest.raises(ConfigError, match=r"stream: 'null'; allowed: data, eval"):
        found.batch(0, 2, seed=0, stream="null")


def test_activations_that_do_not_vary(opened: Any) -> None:
    with pytest.raises(ConfigError, match="activations that vary"):
        opened(np.ones((50, 4), np.float32))


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
    text = (Path(__file__).parent.parent / "realdata" / "README.md").read_text()
    found: dict[str, Any] = {}
    exec(re.findall(r"```python\n(.*?)```", text, re.DOTALL)[0], found)
    held, stack = torch.from_numpy(x[-600:]), load_saelens("seed_0")
    miss = held - stack.decode(stack.encode(held))[0]
    ev = 1 - float(miss.square().sum() / (held - held.mean(0)).square().sum())
    trained, source = found["trained"].stack, found["source"]
    want = float(evaluate(trained, source, 600).explained_variance[0])
    assert want > 0.5
    assert ev == pytest.approx(want, abs=1e-4)
