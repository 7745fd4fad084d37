"""One-to-one matching of large dictionaries: few candidates, and a proof that none is missing.

Let row i have a profit u_i and column j a price v_j >= 0, with v_j = 0 if j is not matched. Suppose
u_i + v_j = c_ij where i and j are matched, and u_i + v_j >= c_ij everywhere. Then no one-to-one
matching has a larger total of cosines c: the sum of u and v bounds them all (duality of linear
programs). So it is enough to match among large cosines, and to check the rest. Products are float32
in blocks. Where their rounding could decide, cosines are float64.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import min_weight_full_bipartite_matching

from synthsae.arrays import Array, Index
from synthsae.geometry import unit
from synthsae.metrics.reappearance import margin

STRIDE, TOP = 8, 6
"""A candidate reaches the TOP-th largest cosine to every STRIDE-th row: about 48 of each row do."""
MOST = 256
"""Largest mean number of candidates of a row; with more, the dense matching is as good."""
NEAR = 1e-3
"""Candidates with a slack u + v - c below this are computed in float64 from the start."""
EXACT = 1e-14
"""Largest error of a slack in float64. The total is the largest one to M times this."""
FEW = 4
"""Pairs of a row that a round adds."""
ROUNDS, STEPS = 40, 10_000
BLOCK = 512  # rows of a cosine matrix in memory at a time


class Pairs(NamedTuple):
    """Some entries of a cosine matrix: rows, columns and cosines, [n] each."""

    i: Index
    j: Index
    c: Array


_NONE = Pairs(np.zeros(0, np.intp), np.zeros(0, np.intp), np.zeros(0))


class Prices(NamedTuple):
    """A best matching of some pairs: the column of each row [M], profits u [M] and prices v [N]."""

    partner: Index
    u: Array
    v: Array


class Uncertain(Exception):
    """The matching cannot be shown to be the best one."""


def certified_match(a: Array, b: Array, absolute: bool = False) -> tuple[Index, Array] | None:
    """A one-to-one matching of a [M, D] with b [N, D], M <= N, whose total is the largest to 1e-9.

    Returns:
        The row of b of each row of a, and their cosine: [M], [M]. None where the total cannot be
        shown to be the largest one: with too many candidates, as among very many equal rows.
    """
    try:
        core, best = _certified(a, b, absolute)
    except Uncertain:
        return None
    chosen = best.partner[core.i] == core.j
    cosine = np.empty(len(a))
    cosine[core.i[chosen]] = core.c[chosen]
    return best.partner, cosine


def _certified(a: Array, b: Array, absolute: bool) -> tuple[Pairs, Prices]:
    """Pairs that are enough, in float64, and the best matching of them. May raise Uncertain."""
    x, y, error = _single(a), _single(b), margin(a.shape[1])
    row_least, column_least = _least(x, y, absolute), _least(y, x, absolute)
    pool = _pool(x, y, row_least, column_least, absolute)
    core = _exact(a, b, _over(pool, _solve(pool, len(b)), NEAR), absolute)
    for _ in range(ROUNDS):
        best = _solve(core, len(b))
        rest = _left_out(x, y, row_least + error, column_least + error, best, absolute)
        near = _over(_joined(pool, rest), best, error)
        new = _over(_exact(a, b, _without(near, core, len(b)), absolute), best, -EXACT)
        if not len(new.i):
            return core, best
        core = _joined(core, _first(new, best))
    raise Uncertain


def _single(rows: Array) -> NDArray[np.float32]:
    """Unit rows in float32, made a block at a time."""
    blocks = [unit(rows[k : k + BLOCK]).astype(np.float32) for k in range(0, len(rows), BLOCK)]
    return np.concatenate(blocks)


def _product(x: NDArray[np.float32], y: NDArray[np.float32], absolute: bool) -> NDArray[np.float32]:
    c = x @ y.T
    return np.abs(c, out=c) if absolute else c


def _least(x: NDArray[np.float32], y: NDArray[np.float32], absolute: bool) -> Array:
    """The least cosine of a candidate of each row of x, [M]."""
    some = y[::STRIDE]
    at = max(0, len(some) - TOP)
    blocks = [
        np.partition(_product(x[k : k + BLOCK], some, absolute), at, axis=1)[:, at]
        for k in range(0, len(x), BLOCK)
    ]
    return np.concatenate(blocks).astype(float)


def _pool(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    row_least: Array,
    column_least: Array,
    absolute: bool,
) -> Pairs:
    """The candidates: pairs that reach the least cosine of their row or of their column.

    Row i and column i are a pair, too, so that each row can have a partner.
    """
    found, count = [], 0
    row, column = (v.astype(np.float32) for v in (row_least, column_least))
    for k in range(0, len(x), BLOCK):
        c = _product(x[k : k + BLOCK], y, absolute)
        chosen = c >= np.minimum.outer(row[k : k + BLOCK], column)
        own = np.arange(len(c))
        chosen[own, k + own] = True
        i, j = np.nonzero(chosen)
        found.append(Pairs(i + k, j, c[i, j].astype(float)))
        if (count := count + len(i)) > MOST * len(x):
            raise Uncertain
    return _joined(*found)


def _left_out(
    x: NDArray[np.float32],
    y: NDArray[np.float32],
    row_most: Array,
    column_most: Array,
    best: Prices,
    absolute: bool,
) -> Pairs:
    """Pairs that may be no candidates and whose cosine may exceed u + v."""
    rows = np.flatnonzero(row_most > best.u + best.v.min())
    columns = np.flatnonzero(column_most > best.v + best.u.min())
    found, count, error = [_NONE], 0, margin(x.shape[1])
    for k in range(0, len(rows), BLOCK):
        i = rows[k : k + BLOCK]
        c = _product(x[i], y[columns], absolute)
        at, j = np.nonzero(c + error > np.add.outer(best.u[i], best.v[columns]))
        found.append(Pairs(i[at], columns[j], c[at, j].astype(float)))
        if (count := count + len(at)) > MOST * len(x):
            raise Uncertain
    return _joined(*found)


def _over(pairs: Pairs, best: Prices, by: float) -> Pairs:
    """The pairs with c + by >= u + v."""
    keep = pairs.c + by >= best.u[pairs.i] + best.v[pairs.j]
    return _kept(pairs, keep)


def _without(pairs: Pairs, others: Pairs, n: int) -> Pairs:
    """The pairs that are not among others, once each."""
    key, first = np.unique(pairs.i * n + pairs.j, return_index=True)
    keep = first[~np.isin(key, others.i * n + others.j)]
    return _kept(pairs, keep)


def _first(pairs: Pairs, best: Prices) -> Pairs:
    """The `FEW` pairs of each row that exceed u + v most: prices change, and the rest may not."""
    order = np.lexsort((best.v[pairs.j] - pairs.c, pairs.i))
    _, start, count = np.unique(pairs.i[order], return_index=True, return_counts=True)
    return _kept(pairs, order[np.arange(len(order)) - np.repeat(start, count) < FEW])


def _kept(pairs: Pairs, keep: NDArray[np.bool_] | Index) -> Pairs:
    return Pairs(pairs.i[keep], pairs.j[keep], pairs.c[keep])


def _joined(*parts: Pairs) -> Pairs:
    return Pairs(*(np.concatenate(p) for p in zip(*parts, strict=True)))


def _exact(a: Array, b: Array, pairs: Pairs, absolute: bool) -> Pairs:
    """The pairs with cosines in float64."""
    c = np.empty(len(pairs.i))
    for k in range(0, len(c), BLOCK):
        at = slice(k, k + BLOCK)
        c[at] = np.einsum("nd,nd->n", unit(a[pairs.i[at]]), unit(b[pairs.j[at]]))
    c = np.clip(c, -1, 1)
    return Pairs(pairs.i, pairs.j, np.abs(c) if absolute else c)


def _solve(pairs: Pairs, n: int) -> Prices:
    """The best matching of pairs with n columns, and its prices. May raise Uncertain.

    Prices are the least ones: they rise until no row prefers another column (Bellman-Ford).
    """
    i, j, c = pairs
    m = i.max() + 1
    _, partner = min_weight_full_bipartite_matching(csr_array((2 - c, (i, j)), shape=(m, n)))
    partner = partner.astype(np.intp)
    own, price, matched = partner[i] == j, np.zeros(n), np.empty(m)
    matched[i[own]] = c[own]
    changed = np.ones(m, dtype=bool)
    for _ in range(STEPS):
        profit = matched - price[partner]
        at = np.flatnonzero(changed[i])
        wanted = price.copy()
        np.maximum.at(wanted, j[at], c[at] - profit[i[at]])
        rises = wanted > price + EXACT
        price[rises] = wanted[rises]
        changed = rises[partner]
        if not rises.any():
            break
    else:
        raise Uncertain
    unmatched = np.ones(n, dtype=bool)
    unmatched[partner] = False
    if price[unmatched].sum() > EXACT * m:
        raise Uncertain
    return Prices(partner, profit, price)
