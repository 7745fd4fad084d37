"""Isolated features that fire together: a Gaussian copula.

Feature i fires where z_i > Phi^-1(1 - p_i) for z ~ N(0, C), so that p_i is its marginal whatever C
is. C = A A^T + diag(1 - |a_i|^2) with loadings A [F, r]: few columns are shared factors, F columns
are a full matrix. Drawing z costs size x F, with r multiplications each.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import ndtri
from torch import Tensor

from synthsae.arrays import Array
from synthsae.geometry import unit
from synthsae.world.config import WorldConfig

CHUNK = 2**22
"""Numbers held at a time (16 MiB), whatever the size of a batch."""
MOST = 0.99**0.5
"""Largest length of a feature's loadings, so that something of it is its own."""


def loadings(c: WorldConfig, rng: np.random.Generator) -> Array:
    """Loadings A of the copula, [F, r]; r = 0 without correlations.

    Groups: a factor each, with equal loadings, so that correlations are c inside and 0 across.
    Low rank: entries N(0, c / sqrt(r)), so that a correlation a_i . a_j has standard deviation c.
    Full: correlations N(0, c^2), moved to a correlation matrix by dropping negative eigenvalues
    (none while 2 c sqrt(F) < 1) and scaling the diagonal back to 1.
    """
    n, r = c.n_isolated, c.correlation_rank
    if not c.correlation or not n:
        return np.zeros((n, 0))
    if c.correlation_groups:
        return np.sqrt(c.correlation) * np.eye(c.correlation_groups)[groups(c)]
    if r:
        a = rng.standard_normal((n, r)) * (c.correlation / r**0.5) ** 0.5
        return a * np.minimum(1, MOST / np.maximum(np.linalg.norm(a, axis=1, keepdims=True), MOST))
    upper = np.triu(rng.standard_normal((n, n)) * c.correlation, 1)
    value, vector = np.linalg.eigh(np.eye(n) + upper + upper.T)
    return unit(vector * np.sqrt(np.maximum(value, 0)))


def groups(c: WorldConfig) -> NDArray[np.int64]:
    """The group of each isolated feature, [F], ascending."""
    return np.arange(c.n_isolated) * c.correlation_groups // max(1, c.n_isolated)


class Copula:
    """Correlated gates with loadings `a` [F, r] and candidate probabilities `q` [F].

    `top` are the features to draw in every sample, increasing; others are drawn `under` a parent.
    """

    def __init__(self, a: Array, q: Array, top: np.ndarray, device: torch.device):
        def tensor(x: Array) -> Tensor:
            return torch.tensor(x, dtype=torch.float32, device=device)

        own = np.sqrt(np.maximum(1 - np.sum(a**2, axis=1), 0))
        self.a, self.own, self.threshold = tensor(a), tensor(own), tensor(-ndtri(q))
        self.has_own = bool((own > 1e-6).any())
        self.top = torch.tensor(top, device=device)
        self.of_top = self.a[self.top], self.own[self.top], self.threshold[self.top]

    def shared(self, size: int, g: torch.Generator) -> Tensor:
        """The shared factors of `size` rows, [size, r]."""
        return torch.randn(size, self.a.shape[1], generator=g, device=g.device)

    def fired(self, shared: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """The (row, feature) pairs of `top` that fire, sorted."""
        a, own, threshold = self.of_top
        step = max(1, CHUNK // max(1, len(self.top)))
        rows, columns = [], []
        for start in range(0, len(shared), step):
            z = shared[start : start + step] @ a.T
            if self.has_own:
                z.addcmul_(torch.randn(z.shape, generator=g, device=g.device), own)
            row, column = (z > threshold).nonzero(as_tuple=True)
            rows.append(row + start)
            columns.append(column)
        return torch.cat(rows), self.top[torch.cat(columns)]

    def under(self, shared: Tensor, row: Tensor, child: Tensor, g: torch.Generator) -> Tensor:
        """Whether the features `child` [n, b] are candidates in the rows `row` [n], bool [n, b]."""
        step = max(1, CHUNK // max(1, self.a.shape[1] * child.shape[1]))
        z = [
            torch.einsum("nbr,nr->nb", self.a[child[i : i + step]], shared[row[i : i + step]])
            for i in range(0, max(1, len(row)), step)
        ]
        own = torch.randn(child.shape, generator=g, device=g.device) * self.own[child]
        return torch.cat(z) + own > self.threshold[child]
