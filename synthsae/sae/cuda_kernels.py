"""The Triton kernels behind `cuda.py`, which says what each computes and launches it.

Names in capitals are numbers, the others are pointers to contiguous arrays (`first`, `last`, `k`
and `d` excepted). The interpreter that tests them accepts more than the compiler does:
tests/sae/compile_cuda.py holds them to the compiler.
"""
# mypy: allow-untyped-defs

import triton
import triton.language as tl


@triton.jit
def _keys(row, first, M, SHIFT: tl.constexpr, BLOCK: tl.constexpr):
    """Integers [BLOCK] in the order of the floats row[first:]: NaN above all, padding below all.

    `row` points at the bits of float32, or with SHIFT = 16 of bfloat16.
    """
    i = first + tl.arange(0, BLOCK)
    bits = tl.load(row + i, mask=i < M, other=0).to(tl.int32)
    size = bits & (0x7FFFFFFF >> SHIFT)
    key = tl.where(bits < 0, -size, size)  # so -0 ties with 0
    key = tl.where(size > (0x7F800000 >> SHIFT), 0x7FFFFFFF >> SHIFT, key)
    return tl.where(i < M, key, -0x7FFFFFFF - 1)


@triton.jit
def mark(
    pre, marks, M, k,
    SHIFT: tl.constexpr, BLOCK: tl.constexpr, CHUNKS: tl.constexpr, GROUPS: tl.constexpr,
):  # fmt: skip
    """One row a program: bisect for the k-th largest key, then mark who is above it, who equal.

    The marks of 16 neighbours share an integer of `marks`: bit j of its upper half is set where
    entry j is above, bit j of its lower half where it is equal.
    """
    at = tl.program_id(0).to(tl.int64)
    row = pre + at * M
    key = _keys(row, 0, M, SHIFT, BLOCK)
    high = tl.max(key, 0)
    for c in range(1, CHUNKS):
        high = tl.maximum(high, tl.max(_keys(row, c * BLOCK, M, SHIFT, BLOCK), 0))
    low = high * 0 - 0x7FFFFFFF - 1
    if GROUPS > 0:  # k or more groups have their maximum at or above the least of the maxima
        low = tl.min(tl.max(tl.reshape(key, [BLOCK // GROUPS, GROUPS]), 0), 0)

    above = high * 0  # how many keys exceed `high`, never more than k
    while low < high:
        middle = (low & high) + ((low ^ high) >> 1)  # their mean, rounded down, without overflow
        n = tl.sum((key > middle).to(tl.int32), 0)
        for c in range(1, CHUNKS):
            more = _keys(row, c * BLOCK, M, SHIFT, BLOCK) > middle
            n += tl.sum(more.to(tl.int32), 0)
        low = tl.where(n > k, middle + 1, tl.where(n == k, middle, low))
        high = tl.where(n > k, high, middle)
        above = tl.where(n > k, above, n)

    for c in range(0, CHUNKS):
        if c > 0:
            key = _keys(row, c * BLOCK, M, SHIFT, BLOCK)
        bits = ((key > high).to(tl.int32) << 16) | (key == high).to(tl.int32)
        bits = tl.reshape(bits, [BLOCK // 16, 16]) << tl.arange(0, 16)[None, :]
        word = c * (BLOCK // 16) + tl.arange(0, BLOCK // 16)
        tl.store(marks + at * ((M + 15) // 16) + word, tl.sum(bits, 1), mask=word * 16 < M)


@triton.jit
def collect(pre, marks, values, indices, M, k, SHIFT: tl.constexpr, WORDS: tl.constexpr):
    """One row a program: write the marked entries in order, all above and the first equal ones.

    Each round takes the lowest entry left in every word; few words hold more than one. Two
    counts share an integer as the marks do.
    """
    at = tl.program_id(0).to(tl.int64)
    word = tl.arange(0, WORDS)
    bits = tl.load(marks + at * ((M + 15) // 16) + word, mask=word * 16 < M, other=0)
    count = bits - ((bits >> 1) & 0x55555555)  # the ones in each half, by halving
    count = (count & 0x33333333) + ((count >> 2) & 0x33333333)
    count = (count + (count >> 4)) & 0x0F0F0F0F
    count = (count + (count >> 8)) & 0x00FF00FF
    rank = tl.cumsum(count, 0) - count  # how many are above and how many equal, before this word
    ties = k - tl.sum((count >> 16) & 0xFFFF, 0)
    left = (bits | (bits >> 16)) & 0xFFFF
    while tl.max(left, 0) > 0:
        lowest = left & -left
        is_tie = (lowest & bits) > 0
        i = word * 16 + (lowest.to(tl.float32).to(tl.int32, bitcast=True) >> 23) - 127  # exponent
        tie = rank & 0xFFFF
        keep = (left > 0) & ((tie < ties) | ((lowest & bits) == 0))
        place = at * k + ((rank >> 16) & 0xFFFF) + tl.minimum(tie, ties)
        z = tl.load(pre + at * M + i, mask=keep, other=0).to(tl.int32) << SHIFT
        z = z.to(tl.float32, bitcast=True)
        tl.store(values + place, tl.where(z <= 0, 0.0, z), mask=keep)
        tl.store(indices + place, i.to(tl.int64), mask=keep)
        rank += tl.where(is_tie, 1, 65536)
        left -= lowest


@triton.jit
def residual(
    values, indices, weight, x, miss, dots, B, M, D, K,
    KP: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """One sample a program: each tile [K, BD] of decoder rows serves the sum and the dots."""
    at = tl.program_id(0).to(tl.int64)
    seed = at // B
    k = tl.arange(0, KP)
    value = tl.load(values + at * K + k, mask=k < K, other=0.0)
    latent = tl.load(indices + at * K + k, mask=k < K, other=0)
    rows = weight + (seed * M + latent) * D
    dot = tl.zeros([KP], tl.float32)
    for first in range(0, D, BD):
        d = first + tl.arange(0, BD)
        mask = (k < K)[:, None] & (d < D)[None, :]
        tile = tl.load(rows[:, None] + d[None, :], mask=mask, other=0.0).to(tl.float32)
        out = tl.sum(value[:, None] * tile, 0)
        out -= tl.load(x + at * D + d, mask=d < D, other=0.0).to(tl.float32)
        tl.store(miss + at * D + d, out.to(miss.dtype.element_ty), mask=d < D)
        dot += tl.sum(tile * out[None, :], 1)
    tl.store(dots + at * K + k, dot, mask=k < K)


@triton.jit
def inner_products(
    indices, weight, x, dots, B, M, D, K,
    KP: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """One sample a program."""
    at = tl.program_id(0).to(tl.int64)
    k = tl.arange(0, KP)
    latent = tl.load(indices + at * K + k, mask=k < K, other=0)
    rows = weight + (at // B * M + latent) * D
    dot = tl.zeros([KP], tl.float32)
    for first in range(0, D, BD):
        d = first + tl.arange(0, BD)
        mask = (k < K)[:, None] & (d < D)[None, :]
        tile = tl.load(rows[:, None] + d[None, :], mask=mask, other=0.0).to(tl.float32)
        dot += tl.sum(
            tile * tl.load(x + at * D + d, mask=d < D, other=0.0).to(tl.float32)[None, :], 1
        )
    tl.store(dots + at * K + k, dot, mask=k < K)


@triton.jit
def _gather(
    dec, enc, sample, entry, values, g_values, miss, x, first, last, d, D, ROWS: tl.constexpr
):
    """Add the outer terms of the sorted entries first..last to two tiles [ROWS, BD]."""
    for start in range(first, last, ROWS):
        e = start + tl.arange(0, ROWS)
        rows = tl.load(sample + e, mask=e < last, other=0)[:, None] * D + d[None, :]
        place = tl.load(entry + e, mask=e < last, other=0)
        value = tl.load(values + place, mask=e < last, other=0.0)
        g_value = tl.load(g_values + place, mask=e < last, other=0.0)
        mask = (e < last)[:, None] & (d < D)[None, :]
        dec += value[:, None] * tl.load(miss + rows, mask=mask, other=0.0).to(tl.float32)
        enc += g_value[:, None] * tl.load(x + rows, mask=mask, other=0.0).to(tl.float32)
    return dec, enc


@triton.jit
def window_sums(
    start, owner, sample, entry, values, g_values, miss, x, partial, PER_SEED, N_WINDOWS, D,
    WIDTH: tl.constexpr, ROWS: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Sum a window of a seed's sorted entries, if one latent owns the whole of it."""
    window = tl.program_id(0).to(tl.int64)
    first = window // N_WINDOWS * PER_SEED + window % N_WINDOWS * WIDTH
    if tl.load(start + tl.load(owner + window) + 1) >= first + WIDTH:
        d = tl.program_id(1) * BD + tl.arange(0, BD)
        zero = tl.zeros([ROWS, BD], tl.float32)
        dec, enc = _gather(
            zero, zero, sample, entry, values, g_values, miss, x, first, first + WIDTH, d, D, ROWS
        )
        out = partial + window * 2 * D + d
        tl.store(out, tl.sum(dec, 0), mask=d < D)
        tl.store(out + D, tl.sum(enc, 0), mask=d < D)


@triton.jit
def latent_sums(
    start, sample, entry, values, g_values, miss, x, partial, g_dec, g_enc,
    PER_SEED, N_WINDOWS, M, D,
    WIDTH: tl.constexpr, ROWS: tl.constexpr, BD: tl.constexpr,
):  # fmt: skip
    """Sum one latent's entries: those before its first whole window, the windows, the rest."""
    latent = tl.program_id(0).to(tl.int64)
    d = tl.program_id(1) * BD + tl.arange(0, BD)
    seed = latent // M
    base = seed * PER_SEED
    begin, end = tl.load(start + latent), tl.load(start + latent + 1)
    head = tl.minimum(base + (begin - base + WIDTH - 1) // WIDTH * WIDTH, end)
    tail = tl.maximum(base + (end - base) // WIDTH * WIDTH, head)
    dec = tl.zeros([ROWS, BD], tl.float32)
    enc = tl.zeros([ROWS, BD], tl.float32)
    dec, enc = _gather(dec, enc, sample, entry, values, g_values, miss, x, begin, head, d, D, ROWS)
    dec, enc = _gather(dec, enc, sample, entry, values, g_values, miss, x, tail, end, d, D, ROWS)
    dec_row, enc_row = tl.sum(dec, 0), tl.sum(enc, 0)
    shift = seed * N_WINDOWS
    for window in range(shift + (head - base) // WIDTH, shift + (tail - base) // WIDTH):
        rows = partial + window * 2 * D + d
        dec_row += tl.load(rows, mask=d < D, other=0.0)
        enc_row += tl.load(rows + D, mask=d < D, other=0.0)
    tl.store(g_dec + latent * D + d, dec_row, mask=d < D)
    tl.store(g_enc + latent * D + d, enc_row, mask=d < D)
