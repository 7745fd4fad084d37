"""The k largest of a row against a full sort."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthsae.sae.select import largest


@given(
    rows=st.integers(1, 5),
    n=st.integers(1, 400),
    share=st.floats(0, 1),
    seed=st.integers(0, 2**32),
    levels=st.sampled_from([2, 5, 1000]),
)
def test_values_are_the_k_largest_and_places_are_distinct(rows, n, share, seed, levels):
    """With few levels, most of a row are ties."""
    k = max(1, round(share * n))
    rng = np.random.default_rng(seed)
    x = torch.tensor(rng.integers(-levels, levels, (2, rows, n)) / levels, dtype=torch.float32)
    values, places = largest(x, k)
    want = np.sort(x.numpy(), axis=2)[:, :, n - k :]
    np.testing.assert_array_equal(np.sort(values.numpy(), axis=2), want)
    assert torch.equal(x.gather(2, places), values)
    assert all(len(set(row)) == k for row in places.reshape(-1, k).tolist())


@pytest.mark.parametrize(("n", "k"), [(4096, 32), (1003, 7), (515, 8), (64, 64), (9, 1)])
def test_wide_rows_equal_topk(n, k):
    x = torch.randn(50, n, generator=torch.Generator().manual_seed(0))
    values, places = largest(x, k)
    want = x.topk(k, dim=1)
    assert torch.equal(values.sort(dim=1, descending=True)[0], want.values)
    assert torch.equal(places.sort(dim=1)[0], want.indices.sort(dim=1)[0])


def test_a_row_is_chosen_without_regard_to_the_others():
    x = torch.randn(6, 300, generator=torch.Generator().manual_seed(0))
    whole, alone = largest(x, 9), largest(x[3:4], 9)
    assert torch.equal(whole[1][3:4], alone[1])


@pytest.mark.parametrize("bad", [torch.nan, torch.inf, -torch.inf])
def test_rows_that_are_not_finite_still_give_places_of_the_row(bad):
    x = torch.randn(3, 200, generator=torch.Generator().manual_seed(0))
    clean = largest(x, 8)[1]
    x[1, ::3] = bad
    values, places = largest(x, 8)
    assert torch.equal(places[[0, 2]], clean[[0, 2]])
    assert len(set(places[1].tolist())) == 8
    assert int(places.max()) < 200
    if bad == -torch.inf:
        assert values.isfinite().all()
    if bad == torch.inf:
        assert torch.equal(values[1], torch.full((8,), torch.inf))


def test_an_expanded_row_and_float64_are_taken():
    x = torch.randn(40, generator=torch.Generator().manual_seed(0)).expand(4, 40)
    want = x[0].topk(5).values.sort()[0]
    for dtype in (torch.float32, torch.float64):
        values, _ = largest(x.to(dtype).expand(4, 40), 5)
        assert torch.equal(values.sort(dim=1)[0].float(), want.expand(4, 5))
