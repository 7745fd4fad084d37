import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

from synthsae.metrics import counterparts as module
from synthsae.metrics import reappearance
from synthsae.metrics.counterparts import counterparts


def seeds(n: int, m: int, d: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, m, d))


@given(st.integers(2, 4), st.integers(1, 9), st.integers(2, 6), st.integers(0, 99), st.booleans())
def test_the_counterpart_is_the_largest_of_all_cosines(
    n: int, m: int, d: int, seed: int, absolute: bool
) -> None:
    x = seeds(n, m, d, seed)
    live = np.random.default_rng(seed).random((n, m)) < 0.8
    near = counterparts(x, live, absolute)
    u = x / np.linalg.norm(x, axis=2, keepdims=True)
    for s in range(n):
        for t in range(n):
            for i in range(m):
                if s == t or not live[s, i] or not live[t].any():
                    assert near.latent[s, t, i] == -1
                    assert np.isnan(near.cosine[s, t, i])
                    continue
                c = u[t] @ u[s, i]
                size = np.where(live[t], np.abs(c) if absolute else c, -np.inf)
                assert size[near.latent[s, t, i]] >= size.max() - 1e-6
                assert_allclose(near.cosine[s, t, i], c[near.latent[s, t, i]], atol=1e-6)


def test_it_agrees_with_found() -> None:
    x = seeds(3, 40, 4, 0)
    cosine = counterparts(x).cosine
    for s, t in ((0, 1), (1, 0), (2, 1)):
        assert_array_equal(cosine[s, t] >= 0.7, reappearance.found(x, 0.7)[s, t])


def test_blocks_do_not_matter(monkeypatch) -> None:
    x = seeds(2, 50, 5, 1)
    whole = counterparts(x)
    monkeypatch.setattr(module, "BLOCK", 7)
    assert_array_equal(counterparts(x).latent, whole.latent)
