"""Latents of a block against closed forms, a planted world, and the exact number 2R."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.optimize import nnls

from synthsae import SAEConfig, World, WorldConfig
from synthsae.checks import ConfigError
from synthsae.sae.base import ARCHITECTURES
from synthsae.theory import Parts, allocate, least_loss, loss_curve


def test_a_line_needs_two_latents() -> None:
    one, two = (least_loss(Parts(1, 1), m, starts=2).loss for m in (1, 2))
    assert one == pytest.approx(0.5, abs=0.02)
    assert two < 1e-6


@pytest.mark.parametrize("m", [3, 4, 6])
def test_on_a_circle_one_latent_a_sample_gives_evenly_spaced_atoms(m: int) -> None:
    got = least_loss(Parts(2, 1), m, starts=4)
    angles = np.sort(np.arctan2(*got.atoms.T))
    gaps = np.diff([*angles, angles[0] + 2 * np.pi])
    np.testing.assert_allclose(gaps, 2 * np.pi / m, atol=0.15)
    expected = 1 - (0.5 + m / (4 * np.pi) * np.sin(2 * np.pi / m))  # 1 - E cos^2 of the nearest
    assert got.loss == pytest.approx(expected, rel=0.03)


def test_two_latents_a_dimension_are_the_least_exact_number() -> None:
    """Three simplex atoms code the plane exactly, but a linear encoder cannot compute that code."""
    three, four, five = loss_curve(Parts(2, 2), (3, 4, 5), starts=2)[1:]
    simplex = np.array([[1, 0], [-0.5, 0.75**0.5], [-0.5, -(0.75**0.5)]])
    points = np.random.default_rng(0).standard_normal((50, 2))
    assert max(nnls(simplex.T, x)[1] for x in points) < 1e-9
    assert three.loss > 0.1
    assert max(four.loss, five.loss) < 1e-5


@pytest.mark.slow
def test_loss_never_rises_with_the_number_of_latents_nor_with_k() -> None:
    curves = [[d.loss for d in loss_curve(Parts(3, k), (3, 6, 9), starts=1)] for k in (1, 3)]
    assert (np.diff(curves, axis=1) <= 0).all()
    assert (np.diff(curves, axis=0) <= 0).all()
    assert curves[0][-1] < curves[0][-2] - 0.05  # one latent a sample: still falling beyond 2R


@pytest.mark.parametrize("law", ["isotropic", "gaussian"])
def test_the_loss_is_that_of_a_topk_sae_in_a_planted_world(law: str) -> None:
    parts = Parts(3, 3, n_blocks=2, block_p=0.4, n_isolated=8, isolated_p=0.1, law=law)
    config = WorldConfig(
        d_model=14, n_isolated=8, isolated_p=0.1, n_blocks=2, rank=3, block_p=0.4, law=law
    )
    world, got = World.plant(config, seed=0), least_loss(parts, 7, starts=1)
    own = [np.concatenate([rows @ basis.T for basis in world.bases] + [world.isolated])
           for rows in (got.encoder, got.atoms)]  # fmt: skip
    encoder, decoder = (torch.tensor(rows, dtype=torch.float32)[None] for rows in own)
    params = {"w_enc": encoder, "w_dec": decoder}
    params |= {"b_enc": torch.zeros(1, len(own[0])), "b_dec": torch.zeros(1, 14)}
    x = world.batch(0, 40_000, seed=0)[None]
    code = ARCHITECTURES["topk"](SAEConfig(n_latents=len(own[0]), k=3)).encode(params, x)
    z = torch.zeros(1, 40_000, len(own[0])).scatter(2, code.indices.long(), code.values)
    each = ((z @ decoder - x) ** 2).sum(2).numpy()
    assert got.loss == pytest.approx(float(each.mean()), abs=5 * float(each.std()) / 128)
    assert parts.energy == pytest.approx(float((x**2).sum(2).mean()), rel=0.04)


@pytest.mark.slow
def test_isolated_features_come_first_and_blocks_share_what_is_left() -> None:
    parts = Parts(2, 5, n_blocks=2, block_p=0.15, n_isolated=6, isolated_p=0.1)
    curve = loss_curve(parts, (2, 4, 6), starts=2)
    scarce, spare = allocate(parts, 10, curve), allocate(parts, 24, curve)
    assert (scarce.kept, scarce.m) == (6, 2)
    assert spare.m == pytest.approx(4, abs=0.3)
    assert spare.enough <= spare.m
    assert spare.loss < 0.02 * parts.energy
    rare = replace(parts, isolated_p=0.001)
    assert allocate(rare, 8, loss_curve(rare, (2, 4), starts=1)).kept == 0


def test_reappearance_is_the_share_that_the_caps_cover() -> None:
    parts = Parts(2, 1)
    got = allocate(parts, 3, loss_curve(parts, (3,), starts=1), draws=4096)
    assert got.m == 3
    assert got.reappearance == pytest.approx(3 * np.arccos(0.7) / np.pi, abs=0.03)


@pytest.mark.parametrize(
    ("field", "value"),
    [("rank", 0), ("k", 0), ("n_blocks", 0), ("n_isolated", -1), ("block_p", 1.5), ("law", "x")],
)
def test_refuses(field: str, value: object) -> None:
    with pytest.raises(ConfigError) as error:
        Parts(**({"rank": 2, "k": 1} | {field: value}))  # type: ignore[arg-type]
    assert error.value.field == field
