"""The guide of the gates: a first guess that changes nothing but the time."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from synthsae.world.poisson import Gates

PROBABILITY = st.one_of(st.floats(0, 1), st.sampled_from([0.0, 1.0, 1e-12, 1e-3]))


@given(st.lists(PROBABILITY, min_size=1, max_size=300), st.integers(0, 2**32 - 1))
def test_a_place_lies_in_the_gate_that_a_search_finds(p, seed):
    gates = Gates(np.array(p), torch.device("cpu"))
    edges = gates.edges[:-1]
    near = torch.cat([edges, edges.nextafter(edges - 1), edges.nextafter(edges + 1)])
    some = torch.rand(500, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    place = torch.cat([near, some * gates.total])
    place = place[(place >= 0) & (place < gates.total)]
    want = torch.searchsorted(gates.edges, place, right=True)
    assert torch.equal(gates.gates(place), want)


def test_no_gate_with_a_probability_never_fires():
    row, gate = Gates(np.zeros(3), torch.device("cpu")).fired(50, torch.Generator())
    assert len(row) == len(gate) == 0


@pytest.mark.parametrize(("n", "size"), [(3, 70_000), (70_000, 3)])
def test_what_fires_is_sorted_and_told_once(n, size):
    """Also beyond the 16 bits of a key that radix sorts."""
    gates = Gates(np.full(n, 0.02), torch.device("cpu"))
    row, gate = gates.fired(size, torch.Generator().manual_seed(0))
    assert row[-1] >= size // 2
    assert gate.max() >= n // 2
    assert ((row * n + gate).diff() > 0).all()
