"""Which of many independent gates fire, at the cost of those that do."""

import numpy as np
import torch
from torch import Tensor

from synthsae.geometry import Array


class Gates:
    """Independent gates with probabilities `p`, [n]: how many there are costs nothing a sample."""

    def __init__(self, p: Array, device: torch.device):
        with np.errstate(divide="ignore"):
            rate = np.minimum(-np.log1p(-p), 40.0)  # exp(-40) is below float64's resolution of 1
        self.edges = torch.tensor(np.cumsum(rate), device=device)
        self.total = float(self.edges[-1])

    def fired(self, size: int, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """The (row, gate) pairs that fire among `size` rows, sorted, each once.

        Events of a Poisson process on the line [0, size * total), cut into rows and these into
        gates of length -log(1 - p): a cell holds an event with probability p, independently of the
        others.
        """
        mean = torch.tensor(size * self.total, dtype=torch.float64, device=g.device)
        n = int(torch.poisson(mean, generator=g))
        where = _sorted(torch.rand(n, generator=g, dtype=torch.float64, device=g.device).mul_(size))
        row = where.long()
        gate = torch.searchsorted(self.edges, (where - row) * self.total, right=True)
        new = torch.ones(n, dtype=torch.bool, device=g.device)
        new[1:] = (row[1:] != row[:-1]) | (gate[1:] != gate[:-1])
        kept = new.nonzero()[:, 0]
        return row[kept], gate[kept]


def _sorted(x: Tensor) -> Tensor:
    """`x` in increasing order; NumPy's vectorised sort takes a fifth of the time of torch's."""
    if x.device.type == "cpu":
        return torch.from_numpy(np.sort(x.numpy()))
    return x.sort()[0]
