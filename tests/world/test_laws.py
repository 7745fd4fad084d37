"""The law of a batch: what fires, how strongly, and what the code of a block looks like.

How, and how strictly, is in `laws`.
"""

import numpy as np
import pytest
import scipy.stats
import torch
from laws import N, both_ways, count_is, draw, follows, mean_is
from scipy.special import gamma

from synthsae.checks import ConfigError
from synthsae.world import LAWS, MAGNITUDES, World, WorldConfig
from synthsae.world.config import LEAST_BETA
from synthsae.world.sampler import Sampler


def code_of(law, rank, size=N, **fields):
    """Codes [size, R] of one block that is always active."""
    fields = {"d_model": rank + 2, "n_isolated": 0, "n_blocks": 1, "block_p": 1} | fields
    world, x = draw(size, law=law, rank=rank, **fields)
    return x @ world.bases[0]


def gates(law):
    """Which of 6 Zipf isolated features, and then 3 blocks, fire in each sample, bool [N, 9]."""
    world, x = draw(
        d_model=16,
        n_isolated=6,
        isolated_p=0.2,
        zipf=0.7,
        n_blocks=3,
        rank=3,
        law=law,
        n_atoms=5,
        block_p=0.3,
        magnitude="constant",
    )
    p = np.append(world.config.firing_probabilities(), [0.3] * 3)
    blocks = np.linalg.norm(np.einsum("bd,gdr->bgr", x, world.bases), axis=2)
    return np.hstack([x @ world.isolated.T, blocks]) > 1e-4, p


@both_ways
@pytest.mark.parametrize("law", LAWS)
def test_gates_fire_with_their_probability_and_independently(law):
    fired, p = gates(law)
    for i in range(9):
        assert count_is(fired[:, i].sum(), N, p[i])
        assert count_is((fired[::2, i] & fired[1::2, i]).sum(), N // 2, p[i] ** 2)  # next sample
        for j in range(i):
            assert count_is((fired[:, i] & fired[:, j]).sum(), N, p[i] * p[j])
    assert count_is((~fired).all(axis=1).sum(), N, np.prod(1 - p))


def test_batches_of_one_sample_have_the_same_law():
    config = WorldConfig(
        d_model=3, n_isolated=3, isolated_p=0.4, n_blocks=0, rank=1, magnitude="constant"
    )
    world = World.plant(config, seed=0)
    x = torch.cat([world.batch(t, 1, seed=0) for t in range(3000)]).numpy()
    fired = x @ world.isolated.T > 0.5
    for i in range(3):
        assert count_is(fired[:, i].sum(), 3000, 0.4)
    assert count_is(fired.all(axis=1).sum(), 3000, 0.4**3)


@pytest.mark.parametrize("n", [1, 2, 300, 1000])
@pytest.mark.parametrize("u", [0.0, 0.5, 1 - 2**-53])
def test_what_has_probability_zero_does_not_fire_at_the_edges_of_the_unit_interval(
    monkeypatch, n, u
):
    """Uniform draws of exactly 0, and as near to 1 as a float64 comes."""
    monkeypatch.setattr(torch, "poisson", lambda mean, **_: torch.tensor(4))
    monkeypatch.setattr(torch, "rand", lambda n, dtype, **_: torch.full((n,), u, dtype=dtype))
    for isolated_p, block_p in ((0, 0.1), (0.1, 0)):
        config = WorldConfig(
            n_isolated=n, isolated_p=isolated_p, n_blocks=1, block_p=block_p, leaning=True
        )
        gates = Sampler(World.plant(config, seed=0), torch.device("cpu")).gates
        row, gate = gates.fired(3, torch.Generator())
        assert len(row) == 1
        assert row[0] == int(3 * u)
        assert (gate[0] == n) == (block_p > 0)


def test_firing_probabilities_follow_zipf_around_their_mean():
    p = WorldConfig(n_isolated=50, isolated_p=0.02, zipf=0.5).firing_probabilities()
    assert p.mean() == pytest.approx(0.02)
    np.testing.assert_allclose(p[0] / p, np.arange(1, 51) ** 0.5)
    constant = WorldConfig(n_isolated=3, isolated_p=0.4).firing_probabilities()
    np.testing.assert_allclose(constant, [0.4] * 3, rtol=1e-14)
    assert WorldConfig(zipf=1, n_isolated=3, isolated_p=0.1).firing_probabilities() == (
        pytest.approx([0.1 * 18 / 11, 0.1 * 9 / 11, 0.1 * 6 / 11])
    )


@both_ways
@pytest.mark.parametrize("law", LAWS)
def test_probabilities_zero_and_one_are_exact(law):
    fields = {"d_model": 9, "n_isolated": 2, "n_blocks": 2, "rank": 3, "law": law}
    fields["magnitude"] = "constant"
    for isolated_p, block_p in ((0, 1), (1, 0), (1, 1)):
        world, x = draw(2000, isolated_p=isolated_p, block_p=block_p, **fields)
        np.testing.assert_allclose(x @ world.isolated.T, np.full((2000, 2), isolated_p), atol=1e-5)
        energy = np.sum(np.einsum("bd,gdr->bgr", x, world.bases) ** 2, axis=2)
        assert np.all(energy > 1e-6) if block_p else np.all(energy < 1e-10)


@both_ways
def test_sparse_atoms_fire_one_by_one_and_the_block_with_block_p():
    world, x = draw(
        d_model=6, n_isolated=0, n_blocks=2, rank=3, law="sparse", block_p=0.4, magnitude="constant"
    )
    fired = np.round(x @ world.features.T, 5)
    np.testing.assert_array_equal(np.unique(fired), [0, 1])
    p = 1 - 0.6 ** (1 / 3)
    for i in range(6):
        assert count_is(fired[:, i].sum(), N, p)
        for j in range(i):
            assert count_is((fired[:, i] * fired[:, j]).sum(), N, p**2)
    for g in range(2):
        assert count_is(fired[:, 3 * g : 3 * g + 3].any(axis=1).sum(), N, 0.4)


@both_ways
def test_overcomplete_atoms_keep_the_probability_of_their_block():
    code = code_of("sparse", 2, n_atoms=7, block_p=0.25)
    assert count_is((np.abs(code).max(axis=1) > 1e-9).sum(), N, 0.25)


MAGNITUDE_LAWS = {
    "constant": None,
    "uniform": scipy.stats.uniform(0, 3**0.5),
    "half_normal": scipy.stats.halfnorm(),
    "exponential": scipy.stats.expon(scale=0.5**0.5),
}


@both_ways
@pytest.mark.parametrize("name", MAGNITUDES)
def test_magnitudes_follow_their_law_with_mean_square_one(name):
    """Of isolated features, of sparse atoms and of the radius of an isotropic block."""
    always = {"d_model": 4, "n_blocks": 1, "rank": 1, "isolated_p": 1, "block_p": 1}
    world, x = draw(law="sparse", n_isolated=1, magnitude=name, **always)
    radius = np.linalg.norm(code_of("isotropic", 3, magnitude=name), axis=1)
    values = [*(x @ world.features.T).T, radius]
    for v in values:
        assert mean_is(v**2, 1)
        if MAGNITUDE_LAWS[name] is None:
            np.testing.assert_allclose(v, 1, rtol=1e-5)
        else:
            assert follows(v, MAGNITUDE_LAWS[name])
    if name != "constant":
        assert abs(np.corrcoef(values[0], values[1])[0, 1]) < 5 / N**0.5


@both_ways
@pytest.mark.parametrize("rank", [1, 2, 3, 8])
def test_isotropic_codes_are_uniform_in_direction_and_free_in_radius(rank):
    code = code_of("isotropic", rank, magnitude="exponential")
    radius = np.linalg.norm(code, axis=1)
    u = code / radius[:, None]
    assert mean_is(u, 0)
    assert mean_is(u[:, :, None] * u[:, None], np.eye(rank) / rank)
    assert mean_is(u**4, 3 / (rank * (rank + 2)))
    assert mean_is(radius[:, None] * u, 0)
    if rank > 1:
        assert mean_is(u[:, 0] ** 2 * u[:, 1] ** 2, 1 / (rank * (rank + 2)))
        assert abs(np.corrcoef(radius, u[:, 0] ** 2)[0, 1]) < 5 / N**0.5


def test_a_direction_that_is_exactly_zero_is_not_a_nan(monkeypatch):
    """torch.randn is exactly 0 once in about 10^7 draws, which is all of a code of rank 1."""
    world, _ = draw(size=1, d_model=3, n_isolated=1, n_blocks=1, rank=1, block_p=1)
    monkeypatch.setattr(torch, "randn", lambda *size, device, **_: torch.zeros(size, device=device))
    assert world.batch(0, 8, seed=0).isfinite().all()


@both_ways
def test_gaussian_codes_are_standard_normal():
    code = code_of("gaussian", 3)
    assert mean_is(code, 0)
    assert mean_is(code[:, :, None] * code[:, None], np.eye(3))
    for c in code.T:
        assert follows(c, scipy.stats.norm())
    assert follows(np.sum(code**2, axis=1), scipy.stats.chi2(3))


@both_ways
@pytest.mark.parametrize("beta", [0.5, 1, 1.5, 2, 3, 8])
def test_generalised_normal_codes(beta):
    """Independent along the axes, density ~ exp(-|c / alpha|^beta), variance 1."""
    code = code_of("generalised_normal", 2, beta=beta)
    kurtosis = gamma(5 / beta) * gamma(1 / beta) / gamma(3 / beta) ** 2
    law = scipy.stats.gennorm(beta, scale=(gamma(1 / beta) / gamma(3 / beta)) ** 0.5)
    for c in code.T:
        assert follows(c, law)
        assert mean_is(c**2, 1)
        assert mean_is(c**4, kurtosis)
    assert mean_is(code[:, 0] * code[:, 1], 0)
    assert mean_is(code[:, 0] ** 2 * code[:, 1] ** 2, 1)
    if beta == 2:
        assert follows(code.ravel(), scipy.stats.norm())


@pytest.mark.parametrize("beta", [LEAST_BETA, 0.1])
def test_generalised_normal_codes_of_heavy_tails_are_finite(beta):
    code = code_of("generalised_normal", 2, beta=beta)
    assert np.isfinite(code).all()
    law = scipy.stats.gennorm(beta, scale=(gamma(1 / beta) / gamma(3 / beta)) ** 0.5)
    for c in code.T:
        assert follows(c, law)


@pytest.mark.parametrize("beta", [50, 100, float("inf")])
def test_generalised_normal_codes_become_uniform(beta):
    law = scipy.stats.uniform(-(3**0.5), 2 * 3**0.5)
    if beta < np.inf:
        law = scipy.stats.gennorm(beta, scale=(gamma(1 / beta) / gamma(3 / beta)) ** 0.5)
    for c in code_of("generalised_normal", 2, beta=beta).T:
        assert follows(c, law)


@both_ways
def test_one_gate_fires_a_whole_generalised_normal_block():
    code = code_of("generalised_normal", 3, block_p=0.3)
    fired = np.abs(code) > 1e-7
    assert count_is(fired.any(axis=1).sum(), N, 0.3)
    np.testing.assert_array_equal(fired.all(axis=1), fired.any(axis=1))


@both_ways
def test_blocks_have_codes_of_their_own():
    world, x = draw(d_model=6, n_isolated=0, n_blocks=2, rank=3, law="gaussian", block_p=1)
    a, b = x @ world.bases[0], x @ world.bases[1]
    assert mean_is(a[:, :, None] * b[:, None], 0)


@both_ways
def test_noise_is_white_and_added_to_the_signal():
    silent = {"d_model": 5, "n_isolated": 1, "isolated_p": 0, "n_blocks": 0, "rank": 1}
    _, x = draw(noise=0.3, **silent)
    assert mean_is(x[:, :, None] * x[:, None], 0.09 * np.eye(5))
    assert mean_is(x[::2, :, None] * x[1::2, None], 0)
    for c in x.T:
        assert follows(c, scipy.stats.norm(0, 0.3))
    world, x = draw(noise=0.3, **silent | {"isolated_p": 1, "magnitude": "constant"})
    assert follows(x @ world.isolated[0], scipy.stats.norm(1, 0.3))


@both_ways
@pytest.mark.parametrize(("a", "b"), [({"t": 0}, {"t": 1}), ({"seed": 0}, {"seed": 1})])
def test_batches_and_seeds_are_independent(a, b):
    world = World.plant(WorldConfig(d_model=4, n_blocks=1, law="gaussian", n_isolated=0), seed=0)
    x, y = (world.batch(**{"t": 0, "seed": 0, "size": N} | at).numpy() for at in (a, b))
    assert mean_is(x[:, :, None] * y[:, None], 0)


@both_ways
@pytest.mark.parametrize("law", ["gaussian", "isotropic"])
def test_variances_of_a_block_have_the_spectrum(law):
    """Uncorrelated along the axes, in geometric steps, and the energy of equal variances."""
    code = code_of(law, 3, spectrum=9.0, block_scale=2.0)
    want = 3 / 13 * np.array([9, 3, 1])  # 1 : 1/3 : 1/9, mean 1
    scale = 4 if law == "gaussian" else 4 / 3  # isotropic: the radius has a mean square of 4
    for i in range(3):
        assert mean_is(code[:, i] ** 2, scale * want[i])
        for j in range(i):
            assert mean_is(code[:, i] * code[:, j], 0)


def test_equal_variances_are_exact():
    assert (WorldConfig(rank=7).block_variances() == 1).all()
    assert WorldConfig(rank=1, spectrum=5.0).block_variances() == [1]


@pytest.mark.parametrize("changes", [{"spectrum": 0.5}, {"spectrum": 2.0, "law": "sparse"}])
def test_a_spectrum_is_a_ratio_of_elliptical_laws(changes):
    with pytest.raises(ConfigError) as error:
        WorldConfig(**changes)
    assert error.value.field == "world.spectrum"
