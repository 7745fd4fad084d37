"""Where features are planted, and that batch t is a function of its arguments alone."""

import warnings

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from synthsae.checks import ConfigError
from synthsae.world import LAWS, World, WorldConfig
from synthsae.world.magnitudes import FAMILIES
from synthsae.world.sampler import Sampler


@st.composite
def configs(draw):
    """Any world that fits, with as many dimensions as it needs or more, and every idea in it."""
    law, leaning = draw(st.sampled_from(LAWS)), draw(st.booleans())
    blocks, rank = draw(st.integers(0, 3)), draw(st.integers(1, 3))
    isolated = draw(st.integers(blocks == 0, 8))
    circles, bias = draw(st.integers(0, 2)), draw(st.sampled_from([0.0, 0.5]))
    beside = (isolated > 0 or bias > 0) and not leaning
    return WorldConfig(
        d_model=max(rank, blocks * rank + 2 * circles + beside) + draw(st.integers(0, 4)),
        n_isolated=isolated,
        leaning=leaning,
        n_blocks=blocks,
        rank=rank,
        law=law,
        n_atoms=draw(st.sampled_from([None, rank, rank + 2])),
        isolated_p=0.3,
        block_p=0.4,
        magnitude=draw(st.sampled_from(FAMILIES)),
        magnitude_sd=0.2,
        scale_last=2.0,
        n_circles=circles,
        bias=bias,
        n_trees=draw(st.integers(0, isolated // 3)),
        tree_branching=2,
        tree_depth=1,
        exclusive=draw(st.booleans()),
        tree_scaling=draw(st.booleans()),
        correlation=draw(st.sampled_from([0.0, 0.3])),
        correlation_rank=draw(st.integers(0, 2)),
        incoherence_steps=draw(st.sampled_from([None, 0, 3])),
    )


@given(configs(), st.integers(0, 99))
def test_blocks_are_orthogonal_and_features_lie_where_they_should(config, seed):
    world = World.plant(config, seed=seed)
    d, f, g, r = config.d_model, config.n_isolated, config.n_blocks, config.rank
    m = (config.n_atoms or r) if config.law == "sparse" else 0
    assert world.isolated.shape == (f, d)
    assert world.bases.shape == (g, d, r)
    assert world.atoms.shape == (g, m, d)

    assert world.planes.shape == (config.n_circles, d, 2)
    spanned = [*world.bases.transpose(0, 2, 1), *world.planes.transpose(0, 2, 1)]
    axes = np.concatenate([np.zeros((0, d)), *spanned])
    np.testing.assert_allclose(axes @ axes.T, np.eye(len(axes)), atol=1e-12)
    assert np.linalg.norm(world.bias) == pytest.approx(config.bias)
    np.testing.assert_allclose(np.linalg.norm(world.isolated, axis=1), np.ones(f))
    if not config.leaning:
        beside = np.vstack([world.isolated, world.bias])
        np.testing.assert_allclose(beside @ axes.T, np.zeros((f + 1, len(axes))), atol=1e-12)
    room = d if config.leaning else d - g * r - 2 * config.n_circles
    if f <= room and config.incoherence_steps is None:
        np.testing.assert_allclose(world.isolated @ world.isolated.T, np.eye(f), atol=1e-12)
    for atoms, basis in zip(world.atoms, world.bases, strict=True):
        np.testing.assert_allclose(np.linalg.norm(atoms, axis=1), np.ones(m))
        np.testing.assert_allclose(atoms @ basis @ basis.T, atoms, atol=1e-12)
        if m == r:
            np.testing.assert_allclose(atoms @ atoms.T, np.eye(m), atol=1e-12)
    np.testing.assert_array_equal(world.features[:f], world.isolated)
    np.testing.assert_array_equal(world.features[f:].reshape(g, m, d), world.atoms)


@given(configs(), st.integers(0, 99))
def test_a_batch_lies_in_the_span_of_what_is_planted(config, seed):
    world = World.plant(config, seed=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = world.batch(0, 50, seed=seed)
    assert (x.shape, x.dtype) == ((50, config.d_model), torch.float32)
    planes = *world.bases.transpose(0, 2, 1), *world.planes.transpose(0, 2, 1)
    planted = np.concatenate([world.isolated, world.bias[None], *planes])
    inside = np.linalg.pinv(planted) @ planted
    np.testing.assert_allclose(x.numpy() @ inside, x.numpy(), atol=1e-4 * (1 + x.abs().max()))


def test_isolated_features_may_lean_into_blocks():
    config = WorldConfig(d_model=16, n_isolated=40, n_blocks=2, rank=4, leaning=True)
    world = World.plant(config, seed=0)
    energy = np.sum((world.isolated @ world.bases) ** 2, axis=(0, 2))
    assert energy.sum() / 40 == pytest.approx(8 / 16, abs=0.1)
    assert np.linalg.matrix_rank(world.isolated) == 16


def test_the_world_is_a_function_of_its_seed():
    config = WorldConfig(d_model=8, n_isolated=3, n_blocks=1, rank=2, law="sparse")
    a, same, other = (World.plant(config, seed=s) for s in (3, 3, 4))
    np.testing.assert_array_equal(a.features, same.features)
    assert np.abs(a.features - other.features).max() > 0.1
    assert np.abs(a.bases - other.bases).max() > 0.1


@pytest.mark.parametrize("law", LAWS)
def test_batch_t_does_not_depend_on_what_was_drawn_before(law):
    config = WorldConfig(d_model=12, n_isolated=4, n_blocks=2, rank=3, law=law, noise=0.1)
    ts = (0, 1, 2, 5)
    forward, backward = World.plant(config, seed=1), World.plant(config, seed=1)
    a = {t: forward.batch(t, 64, seed=9) for t in ts}
    for t in reversed(ts):
        backward.batch(t, 10, seed=8, stream="eval")
        assert torch.equal(backward.batch(t, 64, seed=9), a[t])
    others = [
        a[0],
        a[1],
        forward.batch(0, 64, seed=10),
        forward.batch(0, 64, seed=9, stream="eval"),
    ]
    assert len({tuple(x.ravel().tolist()) for x in others}) == len(others)


@pytest.mark.parametrize("law", LAWS)
def test_a_world_where_nothing_fires_is_silent(law):
    config = WorldConfig(n_isolated=4, isolated_p=0, n_blocks=2, block_p=0, law=law)
    assert not World.plant(config, seed=0).batch(0, 100, seed=0).any()


def test_sampling_costs_what_fires():
    """200,000 features in 4,096 rows: 8e8 gates, 8,192 of which fire."""
    n, size, p = 200_000, 4096, 1e-5
    config = WorldConfig(d_model=8, n_isolated=n, isolated_p=p, n_blocks=1, rank=2, leaning=True)
    world = World.plant(config, seed=0)
    assert world.batch(0, size, seed=0).shape == (size, 8)
    gates = Sampler(world, torch.device("cpu")).gates
    row, gate = gates.fired(size, torch.Generator().manual_seed(0))
    isolated = gate < n
    assert binomtest(int(isolated.sum()), n * size, p).pvalue > 1e-6
    assert binomtest(int((~isolated).sum()), size, config.block_p).pvalue > 1e-6
    assert (torch.diff(row * (n + 1) + gate) > 0).all()  # sorted, each pair once


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"d_model": 0}, "world.d_model: 0; allowed: 1 or more"),
        ({"n_isolated": -1}, "world.n_isolated: -1; allowed: 0 or more, at most 16777216"),
        ({"isolated_p": -0.1}, "world.isolated_p: -0.1; allowed: 0 or more, at most 1"),
        ({"isolated_p": 1.5}, "world.isolated_p: 1.5; allowed: 0 or more, at most 1"),
        ({"isolated_p": float("nan")}, "world.isolated_p: nan; allowed: 0 or more, at most 1"),
        ({"zipf": -1.0}, "world.zipf: -1.0; allowed: 0 or more"),
        (
            {"zipf": 2.0, "isolated_p": 0.5},
            "world.zipf: 2.0; allowed: such that the most frequent feature's probability is 1 at"
            " most",
        ),
        ({"n_blocks": -1}, "world.n_blocks: -1; allowed: 0 or more"),
        ({"rank": 0}, "world.rank: 0; allowed: 1 or more, at most 128"),
        ({"rank": 129, "n_blocks": 0}, "world.rank: 129; allowed: 1 or more, at most 128"),
        (
            {"law": "isotrope"},
            "world.law: 'isotrope'; allowed: isotropic, gaussian, sparse, generalised_normal",
        ),
        ({"block_p": -0.5}, "world.block_p: -0.5; allowed: 0 or more, at most 1"),
        ({"block_p": 1.01}, "world.block_p: 1.01; allowed: 0 or more, at most 1"),
        ({"n_atoms": 3}, "world.n_atoms: 3; allowed: 4 or more"),
        *(
            ({"beta": b}, f"world.beta: {b}; allowed: 0.0625 and above (inf is the uniform law)")
            for b in (0.0, 0.06, float("nan"))
        ),
        (
            {"magnitude": "lognormal"},
            "world.magnitude: 'lognormal'; allowed: constant, uniform, half_normal, exponential,"
            " normal",
        ),
        ({"noise": -1e-9}, "world.noise: -1e-09; allowed: 0 or more"),
        (
            {"n_isolated": 0, "n_blocks": 0},
            "world.n_isolated: 0; allowed: 1 or more where world.n_blocks is 0",
        ),
        (
            {"d_model": 16},
            "world.n_blocks: 6; allowed: 0 to 3, blocks of rank 4 that fit world.d_model 16 beside"
            " the isolated features",
        ),
        (
            {"d_model": 16, "n_isolated": 0},
            "world.n_blocks: 6; allowed: 0 to 4, blocks of rank 4 that fit world.d_model 16",
        ),
        (
            {"d_model": 23, "leaning": True},
            "world.n_blocks: 6; allowed: 0 to 5, blocks of rank 4 that fit world.d_model 23",
        ),
    ],
)
def test_a_bad_field_is_one_line_with_its_name_value_and_range(fields, message):
    fine = {"d_model": 128, "n_isolated": 32, "n_blocks": 6, "rank": 4}
    WorldConfig(**fine)
    with pytest.raises(ConfigError) as error:
        WorldConfig(**fine | fields)
    assert str(error.value).partition("; did you mean")[0] == message


def test_what_just_fits_is_allowed():
    full = {"d_model": 8, "n_blocks": 2, "rank": 4}
    for fields in ({"n_isolated": 0}, {"n_isolated": 5, "leaning": True}):
        world = World.plant(WorldConfig(**full, **fields), seed=0)
        assert world.batch(0, 2, seed=0).shape == (2, 8)
    WorldConfig(d_model=9, n_blocks=2, rank=4, n_isolated=1, isolated_p=1, block_p=1)


def test_worlds_draw_samples_of_their_own() -> None:
    """At one data seed, two worlds have different codes, not the same ones turned; of one law."""
    config = WorldConfig(d_model=16, n_isolated=4, n_blocks=2, rank=3, block_p=0.5)
    codes = []
    for seed in (0, 1, 2):
        world = World.plant(config, seed=seed)
        x = world.batch(0, 4000, seed=0).numpy()
        codes.append(np.hstack([x @ world.bases[0], x @ world.isolated.T]))
    for a, b in ((0, 1), (0, 2), (1, 2)):
        assert np.abs(np.corrcoef(codes[a].T, codes[b].T)[:7, 7:]).max() < 0.08
        assert np.abs(codes[a].var(axis=0) / codes[b].var(axis=0) - 1).max() < 0.3
