"""Old worlds keep their numbers: a batch is what is computed here, draw by draw, the plain way."""

import numpy as np
import pytest
import torch

from synthsae.geometry import haar, tight_frame
from synthsae.rng import numpy_generator, torch_generator
from synthsae.world import World, WorldConfig

D, F, G, R = 20, 12, 2, 3
FIELDS = {"d_model": D, "n_isolated": F, "zipf": 0.5, "n_blocks": G, "rank": R}


def events(p, size, g):
    """(row, gate) of every gate that fires: Poisson points in cells of length -log(1 - p)."""
    edges = np.concatenate([[0], np.cumsum(-np.log1p(-p))])
    n = int(torch.poisson(torch.tensor(size * edges[-1], dtype=torch.float64), generator=g))
    where = np.sort(torch.rand(n, generator=g, dtype=torch.float64).numpy() * size)
    found = {(int(w), int(np.sum(edges[1:-1] <= (w - int(w)) * edges[-1]))) for w in where}
    return sorted(found)


@pytest.mark.parametrize("seed", [0, 3])
@pytest.mark.parametrize("law", ["isotropic", "gaussian", "sparse"])
def test_a_world_draws_what_it_always_drew(law, seed):
    config = WorldConfig(law=law, noise=0.1, **FIELDS)
    rng = numpy_generator("world", seed)
    axes = haar(D, rng)
    blocks = [axes[:, g * R : (g + 1) * R] for g in range(G)]
    isolated = tight_frame(F, D - G * R, rng) @ axes[:, G * R :].T
    atoms = [tight_frame(R, R, rng) @ u.T for u in blocks] if law == "sparse" else []
    world = World.plant(config, seed=seed)
    np.testing.assert_array_equal(world.features, np.concatenate([isolated, *atoms]))
    np.testing.assert_array_equal(world.bases, blocks)

    own = (seed,) if seed else ()  # world 0 has no counter of its own
    size, g = 50, torch_generator("data", 7, 2, *own)
    weight = np.arange(1, F + 1) ** -0.5
    p = 0.05 * F * weight / weight.sum()
    others = [1 - 0.85 ** (1 / R)] * G * R if law == "sparse" else [0.15] * G
    fired = events(np.concatenate([p, others]), size, g)
    singles = [(row, gate) for row, gate in fired if gate < F or law == "sparse"]
    x = np.zeros((size, D))
    for (row, gate), v in zip(singles, torch.randn(len(singles), generator=g), strict=True):
        x[row] += abs(float(v)) * np.concatenate([isolated, *atoms])[gate]
    rest = [pair for pair in fired if pair not in singles]
    if rest:
        code = torch.randn(len(rest), R, generator=g).numpy().astype(float)
        if law == "isotropic":
            radius = torch.randn(len(rest), generator=g).abs().numpy()
            code *= (radius / np.linalg.norm(code, axis=1))[:, None]
        for (row, gate), c in zip(rest, code, strict=True):
            x[row] += blocks[gate - F] @ c
    x += 0.1 * torch.randn(size, D, generator=g).numpy()
    np.testing.assert_allclose(world.batch(2, size, seed=7).numpy(), x, atol=1e-5)
    assert len(singles) > 20
