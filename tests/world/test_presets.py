"""Worlds with a name are what their sources say, and every idea combines with every other."""

from dataclasses import FrozenInstanceError, replace

import numpy as np
import pytest
import torch
from laws import count_is
from synthsae.studies.song_toy.study import study

from synthsae.checks import ConfigError
from synthsae.world import LAWS, PRESETS, World, WorldConfig

EVERYTHING = {
    "d_model": 24,
    "n_isolated": 200,
    "zipf": 0.5,
    "isolated_p_max": 0.5,
    "isolated_p_min": 0.01,
    "correlation": 0.2,
    "correlation_rank": 2,
    "n_trees": 2,
    "tree_branching": 2,
    "tree_depth": 2,
    "tree_scaling": True,
    "incoherence_steps": 2,
    "n_blocks": 2,
    "rank": 4,
    "n_atoms": 6,
    "n_circles": 2,
    "circle_arc": 0.5,
    "magnitude": "normal",
    "scale_first": 3.0,
    "magnitude_sd": 0.3,
    "magnitude_sd_spread": 0.1,
    "bias": 0.5,
    "noise": 0.1,
}


@pytest.mark.slow
def test_the_scaled_benchmark_has_an_l0_of_12():
    world = World.plant(PRESETS["synthsaebench_1k"], seed=0)
    assert world.isolated.shape == (1024, 192)
    sampler = world.sampler(torch.device("cpu"))
    g = torch.Generator().manual_seed(0)
    row, _, _ = sampler.fire(*sampler.gates.fired(8192, g), 8192, g)
    assert len(row) / 8192 == pytest.approx(12, abs=0.5)


def test_song_toy_is_the_world_of_its_study():
    assert PRESETS["song_toy"] == study.base.world


@pytest.mark.slow
def test_gerasimov_like_has_many_blocks_of_rank_12_or_more_beside_isolated_features():
    c = PRESETS["gerasimov_like"]
    assert c.rank >= 12
    assert c.n_blocks >= 12
    world = World.plant(replace(c, noise=0), seed=0)
    x = world.batch(0, 2000, seed=0).numpy()
    active = np.linalg.norm(np.einsum("bd,gdr->bgr", x, world.bases), axis=2) > 1e-5
    assert count_is(active.sum(), active.size, c.block_p)


def test_presets_cannot_be_changed():
    with pytest.raises(TypeError):
        PRESETS["mine"] = WorldConfig()
    with pytest.raises(FrozenInstanceError):
        PRESETS["song_toy"].rank = 2


WITHOUT = [None, *EVERYTHING]
PAIRS = [
    pytest.param(without, law, marks=() if (i - j) % len(LAWS) == 0 else pytest.mark.slow)
    for i, without in enumerate(WITHOUT)
    for j, law in enumerate(LAWS)
]
"""All pairs. The default run tries each idea left out once, with each law in turn."""


@pytest.mark.parametrize(("without", "law"), PAIRS)
def test_everything_combines_and_batches_are_counter_based(without, law):
    fields = {k: v for k, v in EVERYTHING.items() if k != without}
    if without in ("zipf", "isolated_p_max", "isolated_p_min"):
        fields = {k: v for k, v in fields.items() if not k.startswith("isolated_p_m")}
    config = WorldConfig(**fields | {"law": law, "d_model": 48 if without == "rank" else 24})
    one, two = World.plant(config, seed=1), World.plant(config, seed=1)
    a = {t: one.batch(t, 64, seed=9) for t in (0, 1, 5)}
    for t in (5, 1, 0):
        two.batch(t, 10, seed=8, stream="eval")
        assert torch.equal(two.batch(t, 64, seed=9), a[t])
    assert a[0].shape == (64, config.d_model)
    assert a[0].dtype == torch.float32
    assert a[0].isfinite().all()
    assert not torch.equal(a[0], a[1])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"isolated_p_max": 0.4},
            "world.isolated_p_min: None; allowed: a number with world.isolated_p_max, none without"
            " it",
        ),
        (
            {"isolated_p_min": 0.4},
            "world.isolated_p_min: 0.4; allowed: a number with world.isolated_p_max, none without"
            " it",
        ),
        (
            {"isolated_p_min": 0.5, "isolated_p_max": 0.4, "zipf": 1},
            "world.isolated_p_min: 0.5; allowed: 0 or more, at most 0.4",
        ),
        (
            {"isolated_p_min": 0.1, "isolated_p_max": 1.4, "zipf": 1},
            "world.isolated_p_max: 1.4; allowed: 0 or more, at most 1",
        ),
        (
            {"isolated_p_min": 0.1, "isolated_p_max": 0.4},
            "world.zipf: 0.0; allowed: 1e-06 or more where world.isolated_p_max is set",
        ),
        ({"correlation": -0.1}, "world.correlation: -0.1; allowed: 0 or more, at most 1"),
        ({"correlation": 1.1}, "world.correlation: 1.1; allowed: 0 or more, at most 1"),
        ({"correlation_rank": -1}, "world.correlation_rank: -1; allowed: 0 or more"),
        (
            {"correlation": 0.5, "correlation_rank": 16},
            "world.correlation: 0.5; allowed: 0 or more, at most 0.25 with world.correlation_rank"
            " 16",
        ),
        (
            {"correlation": 0.1, "n_isolated": 5000},
            "world.correlation_rank: 0; allowed: 1 or more where world.n_isolated is above 4096",
        ),
        (
            {"correlation_groups": 33},
            "world.correlation_groups: 33; allowed: 0 or more, at most 32",
        ),
        (
            {"correlation_groups": 2, "correlation_rank": 1, "correlation": 0.5},
            "world.correlation_rank: 1; allowed: 0 where world.correlation_groups is set",
        ),
        (
            {"n_isolated": 10**9},
            "world.n_isolated: 1000000000; allowed: 0 or more, at most 16777216",
        ),
        ({"n_trees": -1}, "world.n_trees: -1; allowed: 0 or more"),
        ({"tree_branching": 0}, "world.tree_branching: 0; allowed: 1 or more"),
        ({"tree_depth": 0}, "world.tree_depth: 0; allowed: 1 or more"),
        (
            {"n_trees": 2, "n_isolated": 100},
            "world.n_trees: 2; allowed: 0 to 1, trees of 85 features that fit world.n_isolated 100",
        ),
        (
            {"n_trees": 1, "n_isolated": 0},
            "world.n_trees: 1; allowed: 0 to 0, trees of 85 features that fit world.n_isolated 0",
        ),
        ({"incoherence_steps": -1}, "world.incoherence_steps: -1; allowed: 0 or more"),
        ({"block_scale": 0}, "world.block_scale: 0.0; allowed: above 0"),
        ({"scale_first": 0}, "world.scale_first: 0.0; allowed: above 0"),
        ({"scale_last": -1}, "world.scale_last: -1.0; allowed: above 0"),
        ({"magnitude_sd": -1}, "world.magnitude_sd: -1.0; allowed: 0 or more"),
        ({"magnitude_sd_spread": -1}, "world.magnitude_sd_spread: -1.0; allowed: 0 or more"),
        ({"bias": -0.1}, "world.bias: -0.1; allowed: 0 or more"),
        (
            {"bias": 0.1, "n_isolated": 0, "d_model": 16},
            "world.n_blocks: 4; allowed: 0 to 3, blocks of rank 4 that fit world.d_model 16 beside"
            " world.bias",
        ),
        ({"n_circles": -1}, "world.n_circles: -1; allowed: 0 or more"),
        ({"circle_p": 1.1}, "world.circle_p: 1.1; allowed: 0 or more, at most 1"),
        ({"circle_arc": 0}, "world.circle_arc: 0.0; allowed: above 0, at most 1"),
        ({"circle_arc": 1.1}, "world.circle_arc: 1.1; allowed: above 0, at most 1"),
        (
            {"n_circles": 2, "d_model": 20},
            "world.n_circles: 2; allowed: 0 to 1, planes that fit world.d_model 20 beside the"
            " blocks and the isolated features",
        ),
        (
            {"n_circles": 3, "d_model": 20, "n_isolated": 0},
            "world.n_circles: 3; allowed: 0 to 2, planes that fit world.d_model 20 beside the"
            " blocks",
        ),
    ],
)
def test_an_impossible_field_is_one_line_with_its_name_value_and_range(fields, message):
    with pytest.raises(ConfigError) as error:
        WorldConfig(**fields)
    assert str(error.value).partition("; did you mean")[0] == message
