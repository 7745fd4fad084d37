"""Random arrays for properties: a shape and a seed are drawn, the values follow from the seed."""

import numpy as np
from hypothesis import strategies as st

seeds = st.integers(0, 2**32 - 1)


@st.composite
def generators(draw):
    """A NumPy generator."""
    return np.random.default_rng(draw(seeds))


@st.composite
def stacks(draw, n_seeds=3, most=12, d=(2, 8)):
    """Directions [S, M, D] with lengths far from 1, a live mask [S, M], and a generator.

    Seeds share some latents up to noise, so that scores above theta and below it both occur.
    """
    rng = np.random.default_rng(draw(seeds))
    m, dim = draw(st.integers(1, most)), draw(st.integers(*d))
    common = rng.standard_normal((m, dim))
    noise = rng.choice([0.02, 0.5, 5.0], (n_seeds, m, 1))
    x = common + noise * rng.standard_normal((n_seeds, m, dim))
    x = np.stack([rng.permutation(rows) for rows in x]) * rng.uniform(0.1, 10, (n_seeds, m, 1))
    return x, rng.random((n_seeds, m)) < draw(st.sampled_from([0.3, 0.8, 1.0])), rng


@st.composite
def subspaces(draw, n=2, d=(2, 9)):
    """Column bases [D, R_i] of n subspaces of one R^D, not orthonormal, and a generator."""
    rng = np.random.default_rng(draw(seeds))
    dim = draw(st.integers(*d))
    ranks = [draw(st.integers(1, dim)) for _ in range(n)]
    return [rng.standard_normal((dim, r)) for r in ranks], rng
