"""Hierarchies: a child fires only where its parent fires, and at most one of exclusive siblings.

The first isolated features are the nodes of the trees, breadth first: T roots, then the b children
of feature 0, those of feature 1, and so on. Feature i has the children T + b i, ...,
T + b i + b - 1 and the parent (i - T) // b.

The rules are those of SynthSAEBench (2602.14687). Where its parent fires, each child is a candidate
with a probability of its own. Candidates fire; of several exclusive candidates, one is chosen
uniformly and fires.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from synthsae.arrays import Array
from synthsae.world.config import WorldConfig


def parents(c: WorldConfig) -> NDArray[np.int64]:
    """The parent of each isolated feature, -1 for roots and for features in no tree, [F]."""
    parent = np.full(c.n_isolated, -1)
    child = np.arange(c.n_trees, c.n_tree_nodes)
    parent[child] = (child - c.n_trees) // c.tree_branching
    return parent


def candidates(c: WorldConfig) -> Array:
    """Probability of each isolated feature to be a candidate where its parent fires, [F].

    - No parent: the firing probability p_i.
    - Child: p_i / p_parent, which makes its firing probability p_i.
    - Child with exclusive siblings j: this times 1 + sum_j p_j / p_parent, because it loses to some
      of them. The factor is approximate.

    Probabilities are at most 1. Siblings whose firing probabilities sum to more than that of their
    parent fire less often than p_i (SynthSAEBench-16k asks for an L0 of 59.1 and has 34.5).
    """
    p, parent = c.firing_probabilities(), parents(c)
    q, child = p.copy(), parent >= 0
    above = p[parent[child]]
    share = np.divide(p[child], above, out=np.zeros_like(above), where=above > 0)
    if c.exclusive:
        family = share.reshape(-1, c.tree_branching)
        share *= np.ravel(1 + family.sum(axis=1, keepdims=True) - family)
    q[child] = np.minimum(share, 1)
    return q


def descend(
    c: WorldConfig,
    row: Tensor,
    feature: Tensor,
    candidate: Callable[[Tensor, Tensor], Tensor],
    g: torch.Generator,
) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Append the descendants that fire to the (row, feature) pairs that fire.

    Args:
        c: the configuration.
        row: row of each pair, [n].
        feature: feature of each pair, [n].
        candidate: function of row [n] and child [n, b] that draws which children are candidates,
            bool [n, b].
        g: generator for the choice between exclusive candidates.

    Returns:
        Rows and features of all pairs, level after level, and for each level below the first the
        position of each pair's parent among the pairs.
    """
    b = c.tree_branching
    n_inner = (c.n_tree_nodes - c.n_trees) // b
    offset = torch.arange(b, device=row.device)
    rows, features, source = [row], [feature], []
    start = 0
    for _ in range(c.tree_depth):
        inner = (features[-1] < n_inner).nonzero()[:, 0]
        child = c.n_trees + b * features[-1][inner, None] + offset
        fires = candidate(rows[-1][inner], child)
        if c.exclusive:
            ticket = torch.rand(fires.shape, generator=g, device=g.device)
            winner = ticket.masked_fill_(~fires, -1).argmax(dim=1, keepdim=True)
            fires = fires & (offset == winner)
        which, place = fires.nonzero(as_tuple=True)
        source.append(start + inner[which])
        start += len(features[-1])
        rows.append(rows[-1][inner[which]])
        features.append(child[which, place])
    return torch.cat(rows), torch.cat(features), source
