"""Matching of candidates beside the whole matrix: equal totals, also with ties, copies, zeros."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synthsae.metrics import latent, matching


def dense(a, b, absolute):
    c = latent.cosines(a, b, absolute)
    rows, columns = latent.assign(c)
    return c[rows, columns]


@st.composite
def dictionaries(draw):
    """Two dictionaries, the smaller one first: real or whole numbers, copies, rows of zeros."""
    m = draw(st.integers(1, 60))
    n, d = m + draw(st.integers(0, 25)), draw(st.integers(1, 12))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    a, b = rng.standard_normal((m, d)), rng.standard_normal((n, d))
    if draw(st.booleans()):
        a, b = np.rint(a), np.rint(b)  # many ties
    shared = draw(st.integers(0, m))
    b[:shared] = a[:shared] + draw(st.sampled_from((0, 1e-9, 0.3))) * b[:shared]
    for x in (a, b):
        copied = draw(st.integers(0, len(x) // 2))
        x[:copied] = x[-1]
        x[copied : copied + draw(st.integers(0, 5))] = 0
    return a, rng.permutation(b)


@given(dictionaries(), st.booleans(), st.sampled_from(((8, 6), (3, 1), (60, 1))))
@settings(max_examples=300)
def test_the_total_is_the_largest_one(pair, absolute, least):
    a, b = pair
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "STRIDE", least[0])
        patch.setattr(matching, "TOP", least[1])  # few candidates: the rest must be checked
        got = matching.certified_match(a, b, absolute)
    assert got is not None  # no case is left to the whole matrix
    partner, cosine = got
    assert len(set(partner)) == len(a)
    assert partner.dtype == np.intp
    np.testing.assert_allclose(
        cosine, latent.cosines(a, b, absolute)[np.arange(len(a)), partner], atol=1e-12
    )
    assert cosine.sum() == pytest.approx(dense(a, b, absolute).sum(), abs=1e-9)


@pytest.fixture(scope="module")
def large():
    """Half of the latents are shared, some are copies; more latents in b than in a."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal((n, 96)) for n in (2100, 2300))
    b[:1000] = a[:1000] + rng.choice([0.01, 0.5, 1], (1000, 1)) * b[:1000]
    a[1000:1050] = a[:50]
    return a, rng.permutation(b)


@pytest.mark.parametrize("absolute", [False, True])
def test_large_dictionaries_match_as_the_whole_matrix_does(large, absolute, monkeypatch):
    a, b = large
    want = dense(a, b, absolute)
    called = []
    monkeypatch.setattr(latent, "assign", lambda c: called.append(c))
    rows, columns, cosine = latent.match(a, b, absolute)
    back = latent.match(b, a, absolute)
    assert not called
    assert cosine.sum() == pytest.approx(want.sum(), abs=1e-9)
    assert back[2].sum() == pytest.approx(want.sum(), abs=1e-9)
    assert (np.diff(back[0]) > 0).all()
    assert len(set(back[1])) == len(a)
    for i, j, c in ((rows, columns, cosine), (back[1], back[0], back[2])):
        np.testing.assert_allclose(c, latent.cosines(a, b, absolute)[i, j], atol=1e-12)


def test_equal_rows_without_number_are_left_to_the_whole_matrix(large):
    a, b = (x.copy() for x in large)
    a[:600] = 0  # 600 x 2300 equal cosines
    assert matching.certified_match(a, b) is None
    np.testing.assert_array_equal(latent.match(a, b)[2], dense(a, b, False))


def test_a_wrong_matching_has_no_certificate(large, monkeypatch):
    """Prices from a matching that is not the best one rise for ever or leave a price unpaid."""
    a, b = large
    monkeypatch.setattr(matching, "STEPS", 500)
    solver = matching.min_weight_full_bipartite_matching

    def worse(graph):
        rows, columns = solver(graph)
        dropped = graph.tolil()
        dropped[rows[100], columns[100]] = 3.9  # as if this pair had a cosine of -1.9
        return solver(dropped.tocsr())

    monkeypatch.setattr(matching, "min_weight_full_bipartite_matching", worse)
    assert matching.certified_match(a, b) is None
