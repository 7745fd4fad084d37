"""The Triton kernel behind `cuda.py`, which says what it computes and launches it.

Names in capitals are numbers, the others are pointers to contiguous arrays (`t` excepted) or values
of [ROWS] samples. tests/sae/compile_cuda.py holds it to the compiler.
"""
# mypy: allow-untyped-defs

from math import pi, sqrt

import triton
import triton.language as tl

TURN, ROOT2, ROOT3 = tl.constexpr(2 * pi), tl.constexpr(sqrt(2)), tl.constexpr(sqrt(3))
EVENT, PHASE, CODE, NOISE = (tl.constexpr(i) for i in range(4))
"""What a number is for."""


@triton.jit
def _words(key, i, row, t, PURPOSE: tl.constexpr):
    """The `i`-th four words of a purpose in `row` of batch `t`: Philox of these numbers alone."""
    return tl.philox(key, i, row * 4 + PURPOSE, t.to(tl.uint32), (t >> 32).to(tl.uint32))


@triton.jit
def _uniform(word):
    """A float32 in (0, 1], so that it has a logarithm."""
    return (word.to(tl.float32) + 0.5) * 2.0**-32


@triton.jit
def _exponential(a, b):
    """A float64 with an exponential law; as a float32 it would leap over gates of 1e-6 or so."""
    word = (a.to(tl.uint64) << 32) | b.to(tl.uint64)
    return -tl.log((word.to(tl.float64) + 0.5) * 2.0**-64)


@triton.jit
def _turned(u):
    """cos(2 pi u) and sin(2 pi u) for u in [0, 1]: Taylor's series up to an eighth of a turn.

    tl.cos also takes huge angles, for which the compiler sets local memory aside.
    """
    quarter = (u * 4 + 0.5).to(tl.int32)
    x = (u - quarter.to(tl.float32) * 0.25) * TURN
    y = x * x
    sin = x * (1 - y * (1 / 6 - y * (1 / 120 - y * (1 / 5040 - y * (1 / 362880)))))
    cos = 1 - y * (1 / 2 - y * (1 / 24 - y * (1 / 720 - y * (1 / 40320))))
    odd = (quarter & 1) > 0
    x, y = tl.where(odd, sin, cos), tl.where(odd, cos, sin)
    return tl.where(((quarter + 1) & 2) > 0, -x, x), tl.where((quarter & 2) > 0, -y, y)


@triton.jit
def _normal(a, b):
    """Two independent standard normals of two words, by Box and Muller."""
    size = tl.sqrt(-2 * tl.log(_uniform(a)))
    x, y = _turned(_uniform(b))
    return size * x, size * y


@triton.jit
def _normals(key, i, row, t, PURPOSE: tl.constexpr):
    """Four independent standard normals."""
    a, b, c, d = _words(key, i, row, t, PURPOSE)
    z0, z1 = _normal(a, b)
    z2, z3 = _normal(c, d)
    return z0, z1, z2, z3


@triton.jit
def _gate(edges, guide, place, total, GATES, CELLS: tl.constexpr):
    """The gate at each place below `total`: a guess by the guide, and a search in two cells."""
    cell = (place / total * (CELLS * GATES)).to(tl.int32)
    low = tl.load(guide + cell).to(tl.int32)
    high = tl.load(guide + cell + 2, mask=cell + 2 < CELLS * GATES, other=GATES - 1).to(tl.int32)
    while tl.max(high - low, 0) > 0:
        middle = (low + high) // 2
        beyond = tl.load(edges + middle) > place
        low, high = tl.where(beyond, low, middle + 1), tl.where(beyond, middle, high)
    return low


@triton.jit
def _magnitude(a, b, scale, sd, LAW: tl.constexpr):
    """A magnitude of `magnitudes.draw` from two words."""
    if LAW == "uniform":
        scale *= _uniform(a) * ROOT3
    elif LAW == "exponential":
        scale *= -tl.log(_uniform(a)) / ROOT2
    elif LAW != "constant":
        z, _ = _normal(a, b)
        scale = tl.maximum(scale + sd * z, 0.0) if LAW == "normal" else scale * tl.abs(z)
    return scale


@triton.jit
def _along(table, i, value, mask, column, D):
    """value table[i] where `mask` is set, else 0, [ROWS, columns]."""
    at = table + i.to(tl.int64)[:, None] * D + column[None]
    rows = tl.load(at, mask=mask[:, None] & (column < D)[None], other=0.0)
    return tl.where(mask, value, 0.0)[:, None] * rows


@triton.jit
def _code(key, block, r, row, t, R):
    """Coordinates r to r + 3 of the normal vector of R behind a block's code; 0 from R on."""
    z0, z1, z2, z3 = _normals(key, block * ((R + 3) // 4) + r // 4, row, t, CODE)
    left = block * 0 + R - r
    return z0, tl.where(left > 1, z1, 0.0), tl.where(left > 2, z2, 0.0), tl.where(left > 3, z3, 0.0)


@triton.jit
def _block(
    x, key, block, row, t, radius, mask, axes, column, scale, R, D, ISOTROPIC: tl.constexpr
):  # fmt: skip
    """`x` with the codes of the blocks that fire where `mask` is set.

    Four coordinates at a time; an isotropic code draws them twice, the first time for its length.
    """
    size = scale
    if ISOTROPIC:
        square = radius * 0
        for r in range(0, R, 4):
            z0, z1, z2, z3 = _code(key, block, r, row, t, R)
            square += z0 * z0 + z1 * z1 + z2 * z2 + z3 * z3
        size = radius / tl.maximum(tl.sqrt(square), 1e-12)
    for r in range(0, R, 4):
        z0, z1, z2, z3 = _code(key, block, r, row, t, R)
        axis, last = block * R + r, block * R + R - 1
        x += _along(axes, axis, size * z0, mask, column, D)
        x += _along(axes, tl.minimum(axis + 1, last), size * z1, mask, column, D)
        x += _along(axes, tl.minimum(axis + 2, last), size * z2, mask, column, D)
        x += _along(axes, tl.minimum(axis + 3, last), size * z3, mask, column, D)
    return x


@triton.jit(do_not_specialize=["t"])
def draw(
    keys, edges, guide, scale, sd, singles, block_axes, circle_axes, bias, out, t,
    B, D, R, GATES, SINGLES, FIRST_CIRCLE, BLOCK_SCALE, ARC, DENSITY, NOISE_SD,
    LAW: tl.constexpr, BLOCKS: tl.constexpr, SHARED: tl.constexpr, CIRCLES: tl.constexpr,
    DENSE: tl.constexpr, NOISY: tl.constexpr, MAGNITUDES: tl.constexpr, CELLS: tl.constexpr,
    ROWS: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """ROWS samples of one seed a program: each walks from gate to gate along the line of `Gates`.

    The distance from the end of a gate that fires to the next event of a Poisson process is
    exponential, whatever came before; events in a gate that has fired are never looked at.
    """
    pieces = (B + ROWS - 1) // ROWS
    seed = tl.program_id(0) // pieces
    row = tl.program_id(0) % pieces * ROWS + tl.arange(0, ROWS)
    key, t = tl.load(keys + seed), t.to(tl.int64)
    to = seed.to(tl.int64) * B + row
    column = tl.arange(0, BD)
    x = tl.zeros([ROWS, BD], tl.float32)
    total = tl.load(edges + GATES - 1)
    end = tl.where(row < B, 0.0, total)  # of the gate that fired last
    event = 0
    while tl.min(end, 0) < total:
        a, b, c, d = _words(key, event, row, t, EVENT)
        place = end + _exponential(a, b)
        fires = place < total
        gate = _gate(edges, guide, tl.where(fires, place, 0.0), total, GATES, CELLS)
        end = tl.where(fires, tl.load(edges + gate), total)
        value = _magnitude(c, d, tl.load(scale + gate), tl.load(sd + gate), LAW)
        single = fires & (gate < SINGLES)
        if MAGNITUDES:
            tl.store(out + to * SINGLES + gate, value, mask=single)
        else:
            x += _along(singles, gate, value, single, column, D)
            if BLOCKS != "":
                block = fires & (gate >= SINGLES) & (gate < FIRST_CIRCLE)
                if tl.max(block.to(tl.int32), 0) > 0:
                    for i in range(SHARED):
                        own, radius = (gate - SINGLES) * SHARED + i, value
                        if SHARED > 1:  # an event has words for one radius; these follow all codes
                            past = (FIRST_CIRCLE - SINGLES) * SHARED * ((R + 3) // 4)
                            u, v, _, _ = _words(key, past + own, row, t, CODE)
                            size, spread = tl.load(scale + gate), tl.load(sd + gate)
                            radius = _magnitude(u, v, size, spread, LAW)
                        x = _block(
                            x, key, own, row, t, radius, block, block_axes, column,
                            BLOCK_SCALE, R, D, BLOCKS == "isotropic",
                        )  # fmt: skip
            if CIRCLES:
                circle, axis = fires & (gate >= FIRST_CIRCLE), 2 * (gate - FIRST_CIRCLE)
                a, _, _, _ = _words(key, event, row, t, PHASE)
                place = _uniform(a)
                if DENSE:
                    place = -tl.log(1 - place * (1 - 1 / DENSITY)) / tl.log(DENSITY)
                cos, sin = _turned(place * ARC)
                x += _along(circle_axes, axis, value * cos, circle, column, D)
                x += _along(circle_axes, axis + 1, value * sin, circle, column, D)
        event += 1
    if not MAGNITUDES:
        x += tl.load(bias + column, mask=column < D, other=0.0)[None]
        if NOISY:
            four = tl.arange(0, BD // 4)
            z0, z1, z2, z3 = _normals(key, four[None], row[:, None], t, NOISE)
            z = tl.join(tl.join(z0, z2), tl.join(z1, z3))
            x += NOISE_SD * tl.reshape(z, [ROWS, BD])
        at = out + to[:, None] * D + column[None]
        tl.store(at, x, mask=(row < B)[:, None] & (column < D)[None])
