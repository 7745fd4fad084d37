"""Divide a graph of directions where two of its sides are not similar."""

from typing import Any

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import connected_components
from scipy.sparse.linalg import eigsh

from synthsae.arrays import Array, Index, Mask

SIMILAR = 2.0
"""A split is kept if D times the mean squared cosine between its sides is below."""


def split_graph(d: Array, graph: csr_array) -> list[Index]:
    """Rows of each connected component of a graph of unit rows [n, D], split where sides differ.

    The two sides have least conductance along the second eigenvector of the graph (Shi and Malik
    2000). Sides are similar, and stay together, if squared cosines between them average 2/D or
    more, twice the mean of random directions.

    Args:
        d: unit rows, [n, D].
        graph: squared cosines of the joined pairs, symmetric with a diagonal, [n, n] sparse.
    """
    parts, open_rows = [], [np.arange(len(d))]
    while open_rows:
        rows = open_rows.pop()
        part = graph if len(rows) == len(d) else graph[rows][:, rows]
        for inside in connected(part):
            side = _side(d[rows[inside]], part[inside][:, inside]) if len(inside) > 3 else None
            if side is None:
                parts.append(rows[inside])
            else:
                open_rows += [rows[inside[side]], rows[inside[~side]]]
    return parts


def connected(graph: csr_array) -> list[Index]:
    """Nodes of each connected component."""
    _, label = connected_components(graph, directed=False)
    order = np.argsort(label, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(label[order])) + 1) if len(order) else []


def least_conductance(graph: Any) -> Mask:
    """The rows on one side of the split of least conductance, bool [n].

    Only splits along the second eigenvector of the normalised graph are tried.
    """
    graph = coo_array(graph).astype(np.float64)
    degree = np.asarray(graph.sum(axis=1)).ravel()
    i, j = graph.coords
    scaled = graph.data / np.sqrt(degree[i] * degree[j])
    matrix = coo_array((scaled, (i, j)), shape=graph.shape).tocsr()
    values, vectors = eigsh(matrix, k=2, which="LA", v0=np.cos(np.arange(len(degree))))
    second = vectors[:, values.argmin()] / np.sqrt(degree)
    position = np.argsort(np.argsort(second, kind="stable"))
    # a prefix of the order cuts an edge if it holds one of the two ends
    low, high = np.minimum(position[i], position[j]), np.maximum(position[i], position[j])
    steps = np.bincount(low, graph.data, len(degree)) - np.bincount(high, graph.data, len(degree))
    volume = np.cumsum(degree[np.argsort(position)])
    smaller = np.minimum(volume, volume[-1] - volume)[:-1]
    return position <= np.argmin(np.cumsum(steps)[:-1] / smaller)


def _side(d: Array, graph: csr_array) -> Mask | None:
    """The rows on one side of a component [n, D], bool [n]; None if the two sides are similar."""
    complete = graph.nnz == len(d) ** 2
    if complete and graph.data.min() * d.shape[1] >= SIMILAR:
        return None  # any two sides are similar
    side = least_conductance(graph)
    few, many = sorted((d[side], d[~side]), key=len)
    if len(few) < d.shape[1]:
        total = np.sum((few @ many.T) ** 2)
    else:
        total = np.sum((few.T @ few) * (many.T @ many))
    return side if total / (len(few) * len(many)) * d.shape[1] < SIMILAR else None
