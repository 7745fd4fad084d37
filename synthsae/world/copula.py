"""Isolated features that fire together: a Gaussian copula.

Feature i fires where z_i > Phi^-1(1 - p_i), with z ~ N(0, C). Its firing probability is p_i for any
correlation matrix C = A A^T + diag(1 - |a_i|^2). The loadings A are [F, r]: r columns are r shared
factors, F columns give a full matrix. Drawing z for a batch takes size x F x r multiplications.
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
"""Largest number of float32 values held at once (16 MiB), for batches of any size."""
LONGEST = 0.99**0.5
"""Largest norm of a feature's loadings; the rest of its variance is independent."""


def loadings(c: WorldConfig, rng: np.random.Generator) -> Array:
    """Loadings A of the copula, [F, r]; r = 0 without correlations.

    With c = `correlation`:

    - Groups: one factor for each group, with equal loadings. Correlations are c within a group and
      0 between groups.
    - Low rank: entries N(0, c / sqrt(r)). A correlation a_i . a_j has standard deviation c.
    - Full: correlations N(0, c^2). Negative eigenvalues (none while 2 c sqrt(F) < 1) are set to 0
      and the diagonal is scaled back to 1, which gives a correlation matrix.
    """
    n, r = c.n_isolated, c.correlation_rank
    if not c.correlation or not n:
        return np.zeros((n, 0))
    if c.correlation_groups:
        return np.sqrt(c.correlation) * np.eye(c.correlation_groups)[groups(c)]
    if r:
        a = rng.standard_normal((n, r)) * (c.correlation / r**0.5) ** 0.5
        norm = np.linalg.norm(a, axis=1, keepdims=True)
        return a * np.minimum(1, LONGEST / np.maximum(norm, LONGEST))
    upper = np.triu(rng.standard_normal((n, n)) * c.correlation, 1)
    value, vector = np.linalg.eigh(np.eye(n) + upper + upper.T)
    return unit(vector * np.sqrt(np.maximum(value, 0)))


def groups(c: WorldConfig) -> NDArray[np.int64]:
    """Index of the group of each isolated feature, [F], ascending."""
    return np.arange(c.n_isolated) * c.correlation_groups // max(1, c.n_isolated)


class Copula:
    """Sampler of correlated features.

    Args:
        a: loadings, [F, r].
        q: probability of each feature to fire or, below a parent, to be a candidate, [F].
        top: indices of the features without a parent, ascending; `fired` draws these in every
            sample, and `under` draws the others where their parent fires.
        device: where the tables are.
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
        """Draw the shared factors of `size` samples, [size, r]."""
        return torch.randn(size, self.a.shape[1], generator=g, device=g.device)

    def fired(self, shared: Tensor, g: torch.Generator) -> tuple[Tensor, Tensor]:
        """The (row, feature) pairs of the `top` features that fire, sorted."""
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
        """Whether each feature `child` [n, b] is a candidate in its row `row` [n]: bool [n, b]."""
        step = max(1, CHUNK // max(1, self.a.shape[1] * child.shape[1]))
        z = [
            torch.einsum("nbr,nr->nb", self.a[child[i : i + step]], shared[row[i : i + step]])
            for i in range(0, max(1, len(row)), step)
        ]
        own = torch.randn(child.shape, generator=g, device=g.device) * self.own[child]
        return torch.cat(z) + own > self.threshold[child]
