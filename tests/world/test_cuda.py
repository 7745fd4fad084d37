"""The kernel that draws batches on a GPU against a plain twin, row by row; its law: `both_ways`.

Compiled where there is a GPU, else interpreted (conftest).
"""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

from synthsae import gpu
from synthsae.rng import torch_generator
from synthsae.train import batches
from synthsae.world import World, WorldConfig, cuda, cuda_kernels, sampler, source
from synthsae.world.cuda_twin import Twin, philox

pytestmark = pytest.mark.slow

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ONES = 2**32 - 1
KNOWN = [  # counter, key and words of Random123's kat_vectors, philox4x32 10
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((ONES,) * 4, (ONES,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
]


@triton.jit
def words_of(key, i, row, t, out, PURPOSE: tl.constexpr):
    key, i, row, t = tl.load(key), tl.load(i), tl.load(row), tl.load(t)
    a, b, c, d = cuda_kernels._words(key, i, row, t, PURPOSE)
    tl.store(out, a)
    tl.store(out + 1, b)
    tl.store(out + 2, c)
    tl.store(out + 3, d)


@triton.jit
def exponential(a, b, out, N: tl.constexpr):
    i = tl.arange(0, N)
    value = cuda_kernels._exponential(tl.load(a + i).to(tl.uint32), tl.load(b + i).to(tl.uint32))
    tl.store(out + i, value)


@triton.jit
def turn(u, out, N: tl.constexpr):
    i = tl.arange(0, N)
    cos, sin = cuda_kernels._turned(tl.load(u + i))
    tl.store(out + i, cos)
    tl.store(out + N + i, sin)


@pytest.mark.parametrize(("counter", "key", "words"), KNOWN)
def test_words_are_those_of_philox(counter, key, words):
    assert philox(counter, key) == words
    purpose, whole = counter[1] % 4, (key[1] << 32 | key[0], counter[3] << 32 | counter[2])
    key, t = (torch.tensor(np.array([v], np.uint64).view(np.int64), device=DEVICE) for v in whole)
    i, row = (
        torch.tensor(np.array([v], np.uint32).view(np.int32), device=DEVICE)
        for v in (counter[0], counter[1] // 4)
    )
    out = torch.empty(4, dtype=torch.int64, device=DEVICE)
    words_of[(1,)](key, i, row, t, out, purpose)
    assert tuple(out.tolist()) == words


def test_the_way_to_the_next_event_has_the_resolution_of_float64():
    """So that a rare gate among common ones has its probability, whatever lies before it."""
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 2**32, (2, 64))
    a[:4], b[:4] = (0, 0, ONES, ONES), (0, 1, ONES, 0)
    out = torch.empty(64, dtype=torch.float64, device=DEVICE)
    exponential[(1,)](*(torch.from_numpy(w).to(DEVICE) for w in (a, b)), out, 64)
    want = -np.log((a * 2.0**32 + b + 0.5) / 2**64)
    np.testing.assert_allclose(out.cpu(), want, rtol=1e-14, atol=2**-53)
    assert np.isfinite(want).all()


def test_a_turn_has_the_cosine_and_the_sine_of_its_angle():
    u = torch.cat([torch.linspace(0, 1, 4088), torch.arange(8) / 8])
    out = torch.empty(2, len(u))
    on_device = out.to(DEVICE)
    turn[(1,)](u.to(DEVICE), on_device, len(u))
    angle = 2 * torch.pi * u.double()
    want = torch.stack([angle.cos(), angle.sin()])
    assert (on_device.cpu() - want).abs().max() < 2e-7


FULL = {"d_model": 21, "n_isolated": 9, "zipf": 0.5, "n_blocks": 2, "n_circles": 2, "bias": 0.4}
FULL |= {"noise": 0.2, "isolated_p": 0.2, "scale_first": 2.0, "block_scale": 1.5, "block_p": 0.4}
WORLDS = {
    "isotropic": FULL | {"rank": 5, "magnitude": "exponential", "circle_p": 0.4},
    "gaussian": FULL | {"rank": 3, "law": "gaussian", "magnitude": "uniform", "circle_arc": 0.3},
    "sparse": FULL | {"rank": 3, "law": "sparse", "n_atoms": 4, "magnitude": "normal",
                      "magnitude_sd": 0.5, "magnitude_sd_spread": 0.5, "circle_p": 0.3},
    "shared gates": FULL | {"rank": 2, "n_blocks": 6, "blocks_per_gate": 3, "magnitude": "normal",
                            "magnitude_sd": 0.5, "n_circles": 1, "circle_p": 0.4},
    "shared Gaussian": FULL | {"rank": 5, "law": "gaussian", "blocks_per_gate": 2},
    "overlap and dense": FULL | {"rank": 3, "block_angle": 40, "circle_p": 0.5, "circle_arc": 0.6,
                                 "circle_density": 7.0},
    "always": FULL | {"rank": 4, "isolated_p": 1, "zipf": 0, "block_p": 1, "circle_p": 1},
    "one": {"d_model": 1, "n_isolated": 1, "isolated_p": 0.5, "n_blocks": 0, "rank": 1},
    "one block": {"d_model": 9, "n_isolated": 0, "n_blocks": 1, "rank": 9, "block_p": 0.7},
    "rare": {"d_model": 30, "n_isolated": 5000, "isolated_p": 1e-3, "zipf": 1.0, "n_blocks": 0},
}  # fmt: skip


def drawn(world, t, size, seeds, stream="data"):
    tables = world.sampler(DEVICE)
    keys = tables.keys(stream, seeds)
    return cuda.batches(tables, keys, t, size), cuda.magnitudes(tables, keys, t, size)


@pytest.mark.parametrize("fields", WORLDS.values(), ids=WORLDS)
@pytest.mark.parametrize("t", [0, 1, 2**40 + 3])
def test_a_sample_is_that_of_the_plain_twin(fields, t, monkeypatch):
    monkeypatch.setattr(cuda, "ROWS", 16)
    world, stream, size = World.plant(WorldConfig(**fields), seed=1), "eval" if t else "data", 20
    seeds = (3, 0, 2**33)
    x, value = drawn(world, t, size, seeds, stream)
    for s, seed in enumerate(seeds):
        for row in range(size):
            want = Twin(world, stream, seed, t, row).draw()
            np.testing.assert_allclose(x[s, row].cpu(), want[0], rtol=1e-5, atol=2e-5)
            np.testing.assert_allclose(value[s, row].cpu(), want[1], rtol=1e-5, atol=2e-6)


def test_bits_depend_on_stream_seed_batch_and_row_alone(monkeypatch):
    """Not on the seeds beside, on how many rows there are, and on how many a program draws."""
    world = World.plant(WorldConfig(**WORLDS["isotropic"]), seed=0)
    all_of_it = drawn(world, 5, 20, (4, 9, 2))
    for s, seed in enumerate((4, 9, 2)):
        for stacked, alone in zip(all_of_it, drawn(world, 5, 13, (seed,)), strict=True):
            assert torch.equal(stacked[s, :13], alone[0])
    monkeypatch.setattr(cuda, "ROWS", 8)
    for a, b in zip(all_of_it, drawn(world, 5, 20, (4, 9, 2)), strict=True):
        assert torch.equal(a, b)


def test_no_two_samples_share_a_number():
    """Of streams, seeds, batches and rows. By chance two of 960 float32 are equal once in 50 times;
    two samples or coordinates that share their numbers are 8 or more.
    """
    config = WorldConfig(d_model=8, n_isolated=1, isolated_p=0, n_blocks=0, rank=1, noise=1)
    world = World.plant(config, seed=0)
    found = [
        drawn(world, t, 5, (0, 1), stream)[0]
        for stream in ("data", "eval", "null")
        for t in (0, 1, 2**32, 2**32 + 1)
    ]
    numbers = torch.stack(found).ravel().tolist()
    assert len(numbers) == 3 * 4 * 2 * 5 * 8
    assert len(set(numbers)) >= len(numbers) - 2


SIMPLE = {"d_model": 16, "n_isolated": 30, "n_blocks": 2, "rank": 2, "n_circles": 1, "noise": 0.1}
OTHERS = [
    {"law": "generalised_normal"},
    {"correlation": 0.1},
    {"correlation": 0.1, "correlation_rank": 3},
    {"n_trees": 1, "tree_depth": 1},
]


@pytest.mark.parametrize(
    ("fields", "simple"),
    [
        ({}, True),
        ({"law": "gaussian"}, True),
        ({"law": "sparse"}, True),
        ({"law": "generalised_normal", "n_blocks": 0}, True),
        ({"d_model": 20}, True),
        ({"d_model": 21}, False),
        *((fields, False) for fields in OTHERS),
    ],
)
def test_what_the_kernel_can_draw(fields, simple, monkeypatch):
    monkeypatch.setattr(sampler, "WIDEST", 20)
    config = WorldConfig(**SIMPLE | fields)
    assert World.plant(config, seed=0).sampler("cpu").simple == simple


@pytest.mark.skipif(DEVICE == "cuda", reason="the sampler's bits on a GPU are others")
@pytest.mark.parametrize("fields", OTHERS)
def test_other_worlds_are_drawn_by_the_sampler_on_a_gpu_too(fields, monkeypatch):
    world, again = (World.plant(WorldConfig(**SIMPLE | fields), seed=0) for _ in range(2))
    x, value = world.batches(1, 9, seeds=(2, 3)), world.magnitudes(1, 9, seed=2)
    monkeypatch.setattr(source, "usable", lambda kernel, x: True)
    assert torch.equal(again.batches(1, 9, seeds=(2, 3)), x)
    assert torch.equal(again.magnitudes(1, 9, seed=2), value)


@pytest.mark.skipif(DEVICE == "cuda", reason="a CPU has the kernel only where it is interpreted")
def test_a_world_draws_by_the_kernel_where_there_is_one(monkeypatch):
    """Each seed as it draws alone, of every stream; on a CPU by the sampler."""
    seeds = (7, 2, 5)
    by_sampler = batches(World.plant(WorldConfig(**SIMPLE), seed=0), 4, 11, seeds)
    world = World.plant(WorldConfig(**SIMPLE), seed=0)
    monkeypatch.setattr(source, "usable", lambda kernel, x: True)
    launches, launch = [], cuda.batches
    for stream in ("data", "eval"):
        x, value = drawn(world, 4, 11, seeds, stream)
        assert torch.equal(world.magnitudes(4, 11, seed=7, stream=stream), value[0])
        with monkeypatch.context() as spy:
            spy.setattr(cuda, "batches", lambda *args: launches.append(args) or launch(*args))
            assert torch.equal(batches(world, 4, 11, seeds, stream=stream), x)
        for s, seed in enumerate(seeds):
            how = {"seed": seed, "stream": stream}
            assert torch.equal(world.batch(4, 11, **how), x[s])
            assert torch.equal(world.magnitudes(4, 11, **how), value[s])
            assert not torch.equal(x[s], by_sampler[s])
    assert len(launches) == 2  # one of each stream, whatever the number of seeds
    shared = batches(world, 4, 11, (7, 7))
    assert torch.equal(shared[0], shared[1])
    assert torch.equal(shared[0], drawn(world, 4, 11, (7,))[0][0])


@pytest.mark.skipif(DEVICE == "cuda", reason="the sampler's bits on a GPU are others")
@pytest.mark.parametrize("broken", ["batches", "magnitudes"])
def test_a_world_whose_kernel_cannot_be_launched_draws_all_by_the_sampler(
    monkeypatch, capsys, broken
):
    """Also if only one of the two launches fails: samples and magnitudes belong together."""
    want, world = (World.plant(WorldConfig(**SIMPLE), seed=0) for _ in range(2))

    def too_large(*_):
        raise RuntimeError("out of resource: shared memory")

    monkeypatch.setattr(gpu, "_usable", {})
    monkeypatch.setattr(source, "usable", lambda kernel, x: True)
    monkeypatch.setattr(cuda, "batches", lambda *_: torch.empty(0))
    monkeypatch.setattr(cuda, broken, too_large)
    for _ in range(2):
        assert torch.equal(
            world.batch(1, 9, seed=2), want.sampler("cpu").batch(9, torch_generator("data", 2, 1))
        )
    assert world.magnitudes(1, 9, seed=2).shape == (9, 30)
    assert "out of resource" in capsys.readouterr().err


@pytest.mark.parametrize("p", [0.0, 1.0])
@pytest.mark.parametrize("n", [1, 70])
def test_probabilities_zero_and_one_are_exact(n, p):
    config = WorldConfig(d_model=2, n_isolated=n, isolated_p=p, n_blocks=0, rank=1)
    x, value = drawn(World.plant(config, seed=0), 0, 3, (0,))
    assert ((value > 0) == (p > 0)).all()
    assert x.isfinite().all()
