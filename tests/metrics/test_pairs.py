"""Products in float32, bounds and Gram matrices, against their plain twins in float64."""

import numpy as np
import pytest
from hypothesis import given
from planted_seeds import trained
from strategies import generators

from synthsae.geometry import haar, unit
from synthsae.metrics import groups, pairs, span_energy
from synthsae.metrics.consensus import _largest_angle
from synthsae.metrics.pairs import close_pairs, largest_cosines, similarity_graph
from synthsae.metrics.subspace import MEMBER, learned_span, principal_angles


def some_rows(rng):
    """Unit rows with unequal variances, of which some are close to each other, [n, D]."""
    n, d = int(rng.integers(2, 40)), int(rng.integers(2, 40))
    x = rng.standard_normal((n, d)) * rng.uniform(0.05, 1, d) ** 3
    return unit(np.concatenate([x, x[::3] + rng.uniform(0, 0.3) * rng.standard_normal((d,))]))


@given(generators())
def test_close_pairs_are_those_of_the_whole_matrix(rng):
    x, least = some_rows(rng), rng.uniform(0.3, 0.95)
    y = unit(rng.standard_normal((7, x.shape[1])) + x[:1])
    for a, b in ((x, y), (x, x)):
        got = close_pairs(a, b, least)
        c = a @ b.T
        want = np.argwhere(np.triu(c >= least, 1) if b is a else c >= least)
        np.testing.assert_array_equal(np.stack([got.i, got.j], axis=1), want)
        np.testing.assert_allclose(got.cosine, c[want[:, 0], want[:, 1]], atol=1e-12)


@pytest.mark.parametrize("variance", ["equal", "falling"])
def test_most_pairs_are_ruled_out_by_a_bound(variance, monkeypatch):
    """At size few pairs are computed one by one, and none that is close is missed."""
    rng = np.random.default_rng(0)
    scale = np.ones(256) if variance == "equal" else np.arange(1, 257) ** -0.5
    x = unit(rng.standard_normal((1500, 256)) * scale)
    x[700:800] = unit(x[:100] + 0.3 * unit(rng.standard_normal((100, 256))))
    asked = []
    exact = pairs._exact
    monkeypatch.setattr(pairs, "_exact", lambda *a: (asked.append(len(a[2])), exact(*a))[1])
    got = close_pairs(x, x, 0.9)
    assert sum(asked) < 0.01 * len(x) ** 2 / 2
    c = np.triu(x @ x.T, 1)
    np.testing.assert_array_equal(np.stack([got.i, got.j], axis=1), np.argwhere(c >= 0.9))
    assert len(got.i) >= 90


@given(generators())
def test_largest_cosines_and_the_graph_are_those_of_the_whole_matrix(rng):
    x = some_rows(rng)
    n, threshold = len(x), rng.uniform(0.1, 0.9)
    c = np.where(np.eye(n, dtype=bool), -1, x @ x.T)
    others, rows = (np.flatnonzero(rng.random(n) < 0.7) for _ in range(2))
    want = c[np.ix_(rows, others)].max(axis=1, initial=-1)
    np.testing.assert_allclose(largest_cosines(x, others, rows), want, atol=1e-12)
    full = np.where(np.abs(x @ x.T) >= threshold, (x @ x.T) ** 2, 0) * (1 - np.eye(n)) + np.eye(n)
    got = similarity_graph(x, threshold).toarray()
    np.testing.assert_array_equal(got > 0, full > 0)
    np.testing.assert_allclose(got, full, atol=1e-5)


def test_a_dense_graph_keeps_the_nearest_of_each_row(monkeypatch):
    rng = np.random.default_rng(0)
    x = unit(rng.standard_normal((60, 4)))
    monkeypatch.setattr(pairs, "BLOCK", 7)
    whole = similarity_graph(x, 0.3).toarray()
    monkeypatch.setattr(pairs, "MOST", 100)
    monkeypatch.setattr(pairs, "NEAREST", 3)
    got = similarity_graph(x, 0.3).toarray()
    c = np.abs(x @ x.T) - 2 * np.eye(60)
    third = np.sort(c, axis=1)[:, -3][:, None]
    near = (c >= np.maximum(third, 0.3)) | (c >= np.maximum(third, 0.3)).T | np.eye(60, dtype=bool)
    np.testing.assert_allclose(got, np.where(near, whole, 0), atol=1e-6)
    assert (got > 0).sum() < (whole > 0).sum()


@given(generators())
def test_members_of_many_spans_are_those_of_each(rng):
    d = int(rng.integers(2, 20))
    x = unit(rng.standard_normal((int(rng.integers(1, 60)), d)))
    spans = [haar(d, rng)[:, : rng.integers(1, d + 1)] for _ in range(5)]
    least = list(rng.uniform(0, 0.9, 5))
    before = span_energy.COLUMNS
    span_energy.COLUMNS = int(rng.integers(1, 30))
    try:
        got = span_energy.span_members(x, spans, least)
    finally:
        span_energy.COLUMNS = before
    for rows, span, limit in zip(got, spans, least, strict=True):
        np.testing.assert_array_equal(rows, np.flatnonzero(np.sum((x @ span) ** 2, 1) >= limit))


def plain_grow(d, rows, alpha=0.01):
    """`groups.grow` for one part, by singular values of the rows."""
    seen = set()
    while rows.tobytes() not in seen:
        seen.add(rows.tobytes())
        n, width = len(rows), d.shape[1]
        squares = np.linalg.svd(d[rows], compute_uv=False) ** 2
        rank = max(1, int((squares > groups._largest_of_random(n, width)).sum()))
        span = learned_span(d[rows], rank)
        energy = np.sum((d @ span) ** 2, axis=1)
        chance = groups.betainccinv(rank / 2, (width - rank) / 2, alpha / len(d))
        limit = max(groups.GROW, chance) if rank < width else 1.0
        rows = np.flatnonzero(energy >= min(MEMBER, limit))
    return np.flatnonzero(energy >= MEMBER), span


@given(generators())
def test_parts_grow_as_each_would_alone(rng):
    x, _, _ = trained(rng, rank=int(rng.integers(2, 5)), s=int(rng.integers(2, 6)))
    d = x.reshape(-1, x.shape[2])
    parts = [np.sort(rng.choice(len(d), rng.integers(2, 12), replace=False)) for _ in range(6)]
    got = groups.grow(d, parts)
    want = [plain_grow(d, rows) for rows in parts]
    assert len(got) <= len(want)
    for rows, span in want:
        same = [g for g in got if np.array_equal(g.rows, rows) and g.rank == span.shape[1]]
        assert any(principal_angles(g.span, span)[-1] < 1e-6 for g in same)


@given(generators())
def test_spans_from_gram_matrices_are_those_of_the_singular_vectors(rng):
    n, d = int(rng.integers(1, 20)), int(rng.integers(2, 20))
    x = unit(rng.standard_normal((n, d)))
    x[n // 2] = x[0]
    rank = int(rng.integers(1, d + 1))
    got, want = groups.leading_span(x, rank), learned_span(x, rank)
    assert got.shape == want.shape
    np.testing.assert_allclose(got @ got.T, want @ want.T, atol=1e-6)
    other = haar(d, rng)[:, : got.shape[1]]
    for a, b in ((got, other), (got, unit((got + 1e-7 * other).T).T)):
        basis = np.linalg.qr(b)[0]
        assert _largest_angle(a, basis) == pytest.approx(
            principal_angles(a, basis)[-1], rel=1e-6, abs=1e-12
        )
