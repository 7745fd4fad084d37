"""The CUDA kernels against float64: compiled where there is a GPU, else interpreted (conftest).

The interpreter truncates to bfloat16 where the compiler rounds, so a bfloat16 result may be off by
one unit in the last place, 2^-7. What only the compiler rejects, the last test finds.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils._python_dispatch import TorchDispatchMode

from synthsae.sae import SAEConfig, SAEStack, Step, cuda, kernels
from synthsae.sae.code import Code
from synthsae.sae.topk import TopK

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SINGLE, HALF = torch.float32, torch.bfloat16
ULP = {SINGLE: 0.0, HALF: 2**-7}
ODD = [np.nan, -np.nan, np.inf, -np.inf, 0.0, -0.0, 1e-40, -1e-40, 1.0, -1.0]


@pytest.fixture(autouse=True)
def short_windows(monkeypatch):
    """Windows of 32 entries, so that small problems have lists to split."""
    monkeypatch.setattr(cuda, "WINDOW", 32)


def normal(*shape, seed=0, dtype=SINGLE):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(shape, generator=g).to(DEVICE, dtype)


def assert_near(got, want, size, rounding=0.0):
    """`got` is the float64 `want`, up to float32 sums of terms that add up to `size`."""
    assert got.isfinite().all()
    assert ((got.double() - want).abs() <= 3e-6 * size + rounding * want.abs()).all()


def assert_top(pre, k):
    """Values and indices are those of a stable descending sort, in the order of the indices.

    Sorted on the CPU: on a GPU torch 2.11 sorts [-inf, nan] as if NaN were the smaller.
    """
    code = cuda.top(pre, k)
    first = pre.cpu().double().sort(dim=-1, descending=True, stable=True).indices[..., :k]
    want = first.sort(dim=-1).values.to(DEVICE)
    assert torch.equal(code.indices, want)
    assert code.values.dtype == SINGLE
    torch.testing.assert_close(
        code.values, pre.float().gather(-1, want).relu(), rtol=0, atol=0, equal_nan=True
    )


@settings(max_examples=25)
@given(st.integers(1, 130), st.data())
def test_top_takes_the_first_of_the_largest(m, data):
    k, seed = data.draw(st.integers(1, m)), data.draw(st.integers(0, 2**32 - 1))
    s, dtype = data.draw(st.sampled_from([1, 3])), data.draw(st.sampled_from([SINGLE, HALF]))
    rng = np.random.default_rng(seed)
    pool = np.concatenate([ODD, rng.standard_normal(data.draw(st.integers(1, 200)))])
    if data.draw(st.booleans()):
        pool = pool[len(ODD) :] - data.draw(st.sampled_from([0.0, 100.0]))
    pre = torch.from_numpy(rng.choice(pool, (s, 2, m))).float()
    assert_top(pre.to(DEVICE, dtype), k)


@pytest.mark.parametrize("dtype", [SINGLE, HALF])
@pytest.mark.parametrize(("m", "k"), [(1000, 64), (4097, 4097), (40001, 33), (65536, 40000)])
def test_top_of_long_rows(m, k, dtype):
    assert_top(normal(1, 2, m, dtype=dtype), k)


@pytest.mark.parametrize("value", [np.nan, -np.inf, -1.0, 0.0, 3.0])
@pytest.mark.parametrize("m", [37, 65536])
def test_top_of_rows_of_one_value(m, value):
    pre = torch.full((1, 1, m), value, device=DEVICE)
    for k in (1, 5, m):
        assert_top(pre, k)


def problem(s, b, d, m, k, dtype, dense=False):
    """A code that `top` did not make, and float32 or bfloat16 arrays around it."""
    score = normal(s, b, m, seed=1)
    if dense:  # latent 1 of every seed but the last fires on all samples
        score[: max(s - 1, 1), :, 1] = 9
    score[:, :, m // 2] = -9  # and this one never
    values, indices = score.topk(k, dim=2)
    code = Code(values.relu().contiguous(), indices.contiguous())
    return code, normal(s, m, d, seed=2, dtype=dtype)


SHAPES = [(1, 5, 33, 20, 1), (3, 7, 77, 50, 9), (1, 3, 300, 40, 33), (3, 4, 1, 6, 2)]


@pytest.mark.parametrize("dtypes", [(SINGLE, SINGLE), (HALF, HALF), (HALF, SINGLE)])
@pytest.mark.parametrize("shape", SHAPES)
def test_residual_is_what_decoding_misses(shape, dtypes):
    s, b, d, *_ = shape
    code, weight = problem(*shape, dtypes[0])
    x = normal(s, b, d, seed=4, dtype=dtypes[1])
    miss, dots = cuda.residual(code, weight, x)
    inner = cuda.inner_products(x, weight, code.indices)
    assert miss.dtype == x.dtype
    for i in range(s):
        rows = weight[i].double()[code.indices[i]]
        terms = code.values[i].double()[..., None] * rows
        want = terms.sum(1) - x[i].double()
        size = terms.abs().sum(1) + x[i].abs()
        assert_near(miss[i], want, size, ULP[x.dtype])
        products = (want[:, None] * rows).sum(2)  # of the sum before it is rounded to x's type
        assert_near(dots[i], products, (size[:, None] * rows.abs()).sum(2))
        terms = x[i].double()[:, None] * rows
        assert_near(inner[i], terms.sum(2), terms.abs().sum(2))


@pytest.mark.parametrize("dtype", [SINGLE, HALF])
@pytest.mark.parametrize(
    ("shape", "dense"),
    [((1, 5, 33, 20, 1), False), ((3, 7, 300, 15, 9), False), ((3, 70, 5, 9, 3), True)],
)
def test_weight_gradients_are_sums_over_entries(shape, dense, dtype):
    s, b, d, m, _ = shape
    code, _ = problem(*shape, SINGLE, dense)
    g_values = normal(*code.values.shape, seed=5)
    miss, x = normal(s, b, d, seed=6, dtype=dtype), normal(s, b, d, seed=7, dtype=dtype)
    order = kernels.by_latent(code, m)
    assert dense == (order.start.diff().max() > 2 * cuda.WINDOW).item()
    found = cuda.weight_gradients(order, code.values, g_values, miss, x)
    for got, weights, rows in zip(found, (code.values, g_values), (miss, x), strict=True):
        assert got.dtype == SINGLE
        for i in range(s):
            dense_code = torch.zeros(b, m, dtype=torch.double, device=DEVICE)
            dense_code.scatter_(1, code.indices[i], weights[i].double())
            size = dense_code.abs().T @ rows[i].double().abs()
            assert_near(got[i], dense_code.T @ rows[i].double(), size)
            assert (got[i, m // 2] == 0).all()


def test_a_seed_in_a_stack_has_the_bits_it_has_alone():
    s, b, d, m, k = 3, 41, 6, 9, 3
    code, weight = problem(s, b, d, m, k, HALF, dense=True)
    x, g_values = normal(s, b, d, seed=4, dtype=HALF), normal(s, b, k, seed=5)

    def everything(at):
        part = Code(code.values[at], code.indices[at])
        miss, dots = cuda.residual(part, weight[at], x[at])
        order = kernels.by_latent(part, m)
        return miss, dots, *cuda.weight_gradients(order, part.values, g_values[at], miss, x[at])

    for i in range(s):
        for stacked, alone in zip(
            everything(slice(None)), everything(slice(i, i + 1)), strict=True
        ):
            assert torch.equal(stacked[i], alone[0])


@pytest.mark.parametrize("half", [False, True])
def test_a_step_of_topk_by_the_kernels_is_that_of_the_twins(monkeypatch, half):
    """Also for data that all seeds share, which are no contiguous array."""
    sae, dead = SAEConfig(n_latents=40, k=5), torch.zeros(2, 40, dtype=torch.bool, device=DEVICE)
    dead[0, 3] = True
    params = SAEStack.init(sae, 17, (0, 1), DEVICE).params
    params["b_enc"] += 0.1 * normal(2, 40, seed=1)
    x, step = normal(30, 17).expand(2, 30, 17), Step(dead, 0.1, bfloat16_selection=half)
    found = []
    for module in (None, cuda):
        monkeypatch.setattr(kernels, "DENSE_BELOW", 0)
        monkeypatch.setattr(kernels, "_cuda", lambda x, kernel, module=module: module)
        found.append(TopK(sae).gradients(params, x, step))
    twin, compiled = found
    torch.testing.assert_close(compiled.loss, twin.loss)
    assert torch.equal(compiled.fired, twin.fired)
    for name, g in twin.grads.items():
        assert (compiled.grads[name] - g).norm() < 1e-5 * g.norm()


@pytest.mark.parametrize("k", [cuda.MAX_ENTRIES, cuda.MAX_ENTRIES + 1])
def test_more_entries_than_a_tile_holds_are_left_to_the_twins(monkeypatch, k):
    code, weight = problem(1, 2, 3, 1100, k, SINGLE)
    x, found, used = normal(1, 2, 3, seed=4), [], []
    for name in ("residual", "inner_products"):
        spy = Mock(side_effect=getattr(cuda, name), name=name)
        monkeypatch.setattr(cuda, name, spy)
        used.append(spy)
    for module in (None, cuda):
        monkeypatch.setattr(kernels, "_cuda", lambda x, kernel, module=module: module)
        found.append((*kernels.residual(code, weight, x), kernels.inner_products(x, weight, code)))
    for compiled, twin in zip(*found, strict=True):
        torch.testing.assert_close(compiled, twin, rtol=1e-4, atol=1e-4)
    assert [spy.call_count for spy in used] == [int(k <= cuda.MAX_ENTRIES)] * 2


class NoWaiting(TorchDispatchMode):
    """Fails on the operations that make the host wait for numbers on the device."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        waits = ("_local_scalar_dense", "nonzero", "masked_select", "_unique", "bincount")
        assert not any(name in str(func) for name in waits), func
        return func(*args, **(kwargs or {}))


def test_nothing_waits_for_the_device():
    s, b, d, m, k = 1, 41, 6, 9, 3
    code, weight = problem(s, b, d, m, k, HALF)
    x, pre = normal(s, b, d), normal(s, b, m)
    order = kernels.by_latent(code, m)
    with NoWaiting():
        cuda.top(pre, k)
        miss, dots = cuda.residual(code, weight, x)
        cuda.inner_products(x, weight, code.indices)
        cuda.weight_gradients(order, code.values, dots, miss, x)
    with pytest.raises(AssertionError), NoWaiting():
        pre.max().item()


def test_every_kernel_compiles_for_a_gpu_without_spilling():
    env = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    script = [sys.executable, ROOT / "tests" / "sae" / "compile_cuda.py", "bfloat16", "0"]
    out = subprocess.run(
        script, capture_output=True, text=True, cwd=ROOT, env=env | {"PYTHONPATH": str(ROOT)}
    )
    assert out.returncode == 0, out.stderr
    found = [json.loads(line) for line in out.stdout.splitlines()]
    names = {"mark", "collect", "residual", "inner_products", "window_sums", "latent_sums"}
    names |= {"square_chunks", "step_chunks", "draw"}
    assert {facts["kernel"] for facts in found} == names
    for facts in found:
        assert facts["stack"] == facts["local"] == 0, facts
