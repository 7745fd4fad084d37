"""Sample which of many independent gates fire, at a cost proportional to those that fire."""

import numpy as np
import torch
from torch import Tensor

from synthsae.arrays import Array

CELLS = 8
"""Cells of the guide table for each gate. With equal gates, 1 look-up in 16 needs a search."""


class Gates:
    """Independent gates that fire with probabilities `p`, [n].

    The cost of a sample does not depend on n. Gate i is an interval of length -log(1 - p_i); the
    intervals lie side by side on a line.

    Attributes:
        edges: right end of each gate on the line, [n].
        total: length of the line.
        guide: gate at the left end of each of n * CELLS equal cells of the line, and at the right
            end of the last cell.
        cells: number of cells on a length of 1.
    """

    def __init__(self, p: Array, device: torch.device):
        with np.errstate(divide="ignore"):
            rate = np.minimum(-np.log1p(-p), 40.0)  # exp(-40) is below float64's resolution of 1
        edges = np.cumsum(rate)
        self.edges = torch.tensor(edges, device=device)
        self.total = float(edges[-1])
        n = CELLS * len(p)
        self.cells = n / (self.total or 1.0)
        # slightly too far to the left: rounding must put no place before the gate of its cell
        left = torch.arange(n + 1, dtype=torch.float64, device=device) * (
            self.total / n * (1 - 1e-12)
        )
        self.guide = torch.searchsorted(self.edges, left, right=True)

    def fired(self, size: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """The (row, gate) pairs that fire in `size` rows, sorted, without duplicates.

        A Poisson process of rate 1 on [0, size * total) gives the events. Row b is the part of
        length `total` that begins at b * total. The interval of a gate in a row holds one event or
        more with probability p, independently of all others.
        """
        mean = torch.tensor(size * self.total, dtype=torch.float64, device=g.device)
        n = int(torch.poisson(mean, generator=g))
        where = torch.rand(n, generator=g, dtype=torch.float64, device=g.device).mul_(size)
        row = where.long()
        gate = self.gates((where - row) * self.total)
        order = _order(row, gate, max(size, len(self.edges)))
        row, gate = row[order], gate[order]
        new = torch.ones(n, dtype=torch.bool, device=g.device)
        new[1:] = (row[1:] != row[:-1]) | (gate[1:] != gate[:-1])
        kept = new.nonzero()[:, 0]
        return row[kept], gate[kept]

    def gates(self, place: Tensor) -> Tensor:
        """The gate at each `place` on the line: as `searchsorted` says, but four times as fast."""
        gate = self.guide[(place * self.cells).long()]
        missed = (self.edges[gate] <= place).nonzero()[:, 0]
        gate[missed] = torch.searchsorted(self.edges, place[missed], right=True)
        return gate


def _order(row: Tensor, gate: Tensor, n: int) -> Tensor:
    """The permutation that sorts by row, then by gate; all values are below `n`."""
    if row.device.type == "cpu":  # NumPy uses radix sort for 16-bit keys: six times as fast
        small = np.uint16 if n <= 2**16 else np.int64
        return torch.from_numpy(np.lexsort((gate.numpy().astype(small), row.numpy().astype(small))))
    by_gate = gate.argsort(stable=True)
    return by_gate[row[by_gate].argsort(stable=True)]
