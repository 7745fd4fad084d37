"""The Triton kernels that `cuda.py` launches; its docstrings say what they compute.

Arguments in capitals are numbers. The others are pointers to contiguous arrays, except `first`,
`last`, `k` and `d`. Triton's interpreter, in which the kernels are tested, accepts more code than
its compiler; tests/sae/compile_cuda.py compiles them.
"""
# mypy: allow-untyped-defs

import triton
import triton.language as tl


@triton.jit
def _keys(row, first, M, SHIFT: tl.constexpr, BLOCK: tl.constexpr):
    """Integers [BLOCK] that sort as the floats row[first:], with NaN largest, padding smallest.

    `row` points to the bits of float32 numbers, or of bfloat16 numbers if SHIFT is 16.
    """
    i = first + tl.arange(0, BLOCK)
    bits = tl.load(row + i, mask=i < M, other=0).to(tl.int32)
    size = bits & (0x7FFFFFFF >> SHIFT)
    key = tl.where(bits < 0, -size, size)  # -0 and 0 have the same key
    key = tl.where(size > (0x7F800000 >> SHIFT), 0x7FFFFFFF >> SHIFT, key)
    return tl.where(i < M, key, -0x7FFFFFFF - 1)


@triton.jit
def mark(
    pre, marks, M, k,
    SHIFT: tl.constexpr, BLOCK: tl.constexpr, CHUNKS: tl.constexpr, GROUPS: tl.constexpr,
):  # fmt: skip
    """Mark the entries of one row that are above, and those that equal, the k-th largest key.

    The k-th largest key is found by bisection. Each integer of `marks` stands for 16 consecutive
    entries: bit 16 + j is set if entry j is above the k-th largest key, bit j if it is equal.
    """
    at = tl.program_id(0).to(tl.int64)
    row = pre + at * M
    key = _keys(row, 0, M, SHIFT, BLOCK)
    high = tl.max(key, 0)
    for c in range(1, CHUNKS):
        high = tl.maximum(high, tl.max(_keys(row, c * BLOCK, M, SHIFT, BLOCK), 0))
    low = high * 0 - 0x7FFFFFFF - 1
    if GROUPS > 0:  # at least k keys reach the smallest of the GROUPS >= k groups' maxima
        low = tl.min(tl.max(tl.reshape(key, [BLOCK // GROUPS, GROUPS]), 0), 0)

    above = high * 0  # number of keys above `high`, at most k
    while low < high:
        middle = (low & high) + ((low ^ high) >> 1)  # mean of both, rounded down, without overflow
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
    """Write the k entries of one row in order: all above the k-th key, and the first equal ones.

    Each round writes the lowest remaining entry of every integer of `marks`; few integers have more
    than one. As in `marks`, the upper 16 bits of a count are those above, the lower 16 those equal.
    """
    at = tl.program_id(0).to(tl.int64)
    word = tl.arange(0, WORDS)
    bits = tl.load(marks + at * ((M + 15) // 16) + word, mask=word * 16 < M, other=0)
    count = bits - ((bits >> 1) & 0x55555555)  # number of set bits in the upper and lower 16 bits
    count = (count & 0x33333333) + ((count >> 2) & 0x33333333)
    count = (count + (count >> 4)) & 0x0F0F0F0F
    count = (count + (count >> 8)) & 0x00FF00FF
    rank = tl.cumsum(count, 0) - count  # the two counts before this integer of `marks`
    ties = k - tl.sum((count >> 16) & 0xFFFF, 0)  # number of equal entries to write
    left = (bits | (bits >> 16)) & 0xFFFF  # entries that are not written yet
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
    """The residual and inner products of one sample, which both use each tile [K, BD] of rows."""
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
    """The inner products of one sample."""
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
    """Add values_e miss[b_e] and g_values_e x[b_e] of entries first..last to tiles [ROWS, BD]."""
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
    """Sum one window of a seed's sorted entries, if all belong to the same latent."""
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
    """Sum the entries of one latent: before its first whole window, its windows, and the rest."""
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
