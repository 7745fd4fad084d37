"""How many latents m a block takes: the division of M latents that minimises the TopK loss.

A block of rank R whose code has no preferred direction competes with other blocks and with isolated
features twice: for the M latents of the dictionary, and for the k latents that fire on a sample.
This file minimises the population loss over both, in R dimensions and without training an SAE.

Model. Blocks are orthogonal to each other and to the isolated features, so the loss is a sum over
them, and only TopK's selection couples them. All blocks have the same m atoms D [m, R] (unit rows)
and encoder rows W [m, R], without biases. A block with code c has pre-activations W c, an isolated
feature its magnitude z. The k largest positive ones of a sample fire, and the loss is

    L = sum over blocks ||c - D^T a||^2 + sum over features z^2 [not selected],  a = selected W c.

With one block that is always active and no features, this is L_R(m, j = k), the least j-term loss.

Why the encoder belongs to the law. The best j-term non-negative code of R + 1 simplex atoms is
exact for j = R. A linear encoder cannot compute that code. Where TopK keeps every positive
pre-activation, its output sum_i d_i relu(w_i . x) is x only if the kinks cancel. With relu(t) =
(t + |t|) / 2 this is sum_i d_i |w_i . x| = 0 and sum_i d_i w_i^T = 2 I. Latents with parallel w_i
share a kink, and each such class has to cancel alone. So a class has two latents or more, and it
contributes rank 1 to 2 I, so there are R classes or more: m >= 2R, with equality for R pairs of
opposite atoms (derived here). If fewer latents fire than the code needs, the loss may fall beyond
2R, and m is what minimises the total.

Assumptions: isolated features have equal energies, magnitudes |N(0, 1)| and, if they get a latent,
exactly one. Radii of isotropic codes are |N(0, 1)| too. No noise, no latents shared by two parts,
and training that reaches the minimum: a latent that has died does not come back here.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from synthsae.arrays import Array, Mask, Rng
from synthsae.checks import between, count, one_of
from synthsae.definitions import DEFAULTS
from synthsae.geometry import unit
from synthsae.theory.coverage import coverage_monte_carlo

STEPS, BATCH, RATE = 600, 512, 0.02
"""Adam steps, samples of a step, and its first learning rate, which falls linearly to 0."""
EVALUATED = 16384
"""Samples, the same for every m, on which losses are compared."""
NEGLIGIBLE = 0.001
"""Difference of two losses, over a sample's energy, below which they count as equal."""


@dataclass(frozen=True)
class Parts:
    """What competes for latents: equal blocks, and isolated features of equal energy.

    Attributes:
        rank: R of each block.
        k: latents that fire on a sample.
        n_blocks: blocks G.
        block_p: probability that a block is active.
        n_isolated: isolated features F.
        isolated_p: probability that a feature is active.
        law: isotropic (energy 1 of an active block) or gaussian (energy R).
    """

    rank: int
    k: int
    n_blocks: int = 1
    block_p: float = 1.0
    n_isolated: int = 0
    isolated_p: float = 0.0
    law: str = "isotropic"

    def __post_init__(self) -> None:
        for name, least in (("rank", 1), ("k", 1), ("n_blocks", 1), ("n_isolated", 0)):
            count(name, getattr(self, name), least)
        between("block_p", self.block_p, 0, 1)
        between("isolated_p", self.isolated_p, 0, 1)
        one_of("law", self.law, ("isotropic", "gaussian"))

    @property
    def energy(self) -> float:
        """Mean energy of a sample, the loss if no feature or block has a latent."""
        block = self.rank if self.law == "gaussian" else 1
        return self.n_blocks * self.block_p * block + self.n_isolated * self.isolated_p

    def draw(self, n: int, rng: np.random.Generator, active: bool) -> tuple[Array, Array]:
        """Codes [n, G, R] and isolated magnitudes [n, F]; with `active`, block 0 always fires."""
        codes = rng.standard_normal((n, self.n_blocks, self.rank))
        if self.law == "isotropic":
            codes = unit(codes) * rng.standard_normal((n, self.n_blocks, 1))
        gate = rng.random((n, self.n_blocks)) < self.block_p
        gate[:, 0] |= active
        z = np.abs(rng.standard_normal((n, self.n_isolated)))
        return codes * gate[..., None], z * (rng.random(z.shape) < self.isolated_p)


@dataclass(frozen=True)
class Dictionary:
    """Atoms and encoder rows of a block, both [m, R], and their mean `loss` of a whole sample."""

    atoms: Array
    encoder: Array
    loss: float


@dataclass(frozen=True)
class Allocation:
    """The division of the latents that minimises the loss.

    Attributes:
        m: latents of a block (a mean over blocks, so not always whole): the least number whose loss
            exceeds the least one by no more than `NEGLIGIBLE`.
        enough: the same within `tolerance`. From `enough` to `m` the loss hardly fixes the number.
        kept: isolated features that have a latent.
        loss: expected loss of a sample.
        reappearance: p_hat of block latents under the coverage law, by Monte Carlo, for `m`
            latents; 0 if no latent is in a block.
        reappearance_enough: the same for `enough` latents.
    """

    m: float
    enough: float
    kept: int
    loss: float
    reappearance: float
    reappearance_enough: float


def least_loss(
    parts: Parts, m: int, *, starts: int = 4, smaller: Dictionary | None = None, rng: Rng = 0
) -> Dictionary:
    """The best dictionary of `m` latents a block that gradient descent finds.

    Half of the starts are random atoms, the others contain the cross-polytope +-e_i. `smaller`, a
    solution for fewer latents, makes one more start, with random atoms beside its own; it is also
    a solution for `m` (the other latents never fire), and wins where no start is better.

    Args:
        parts: what competes.
        m: latents of each block.
        starts: number of starts.
        smaller: solution for fewer latents.
        rng: a generator or a seed; samples for the comparison come from `parts` alone.
    """
    count("m", m)
    generator = np.random.default_rng(rng)
    found = [] if smaller is None else [smaller]
    for start in range(count("starts", starts) + len(found)):
        atoms = unit(generator.standard_normal((m, parts.rank)))
        if start == starts and smaller is not None:
            own = smaller.atoms
        else:
            own = np.concatenate([np.eye(parts.rank), -np.eye(parts.rank)])[: m * (start % 2)]
        atoms[: len(own)] = own[:m]
        encoder = atoms.copy()
        if start == starts and smaller is not None:
            encoder[: len(own)] = smaller.encoder[:m]
            encoder[len(own) :] /= 2
        found.append(_descend(parts, atoms, encoder, generator))
    return min(found, key=lambda one: one.loss)


def loss_curve(
    parts: Parts, sizes: Sequence[int], *, starts: int = 4, rng: Rng = 0
) -> list[Dictionary]:
    """`least_loss` for m = 0 and each of the increasing `sizes`; losses never rise with m."""
    none = np.zeros((0, parts.rank))
    generator, out = np.random.default_rng(rng), [Dictionary(none, none, _loss(parts, none, none))]
    for m in sizes:
        out.append(least_loss(parts, m, starts=starts, smaller=out[-1], rng=generator))
    return out


def allocate(
    parts: Parts,
    n_latents: int,
    curve: Sequence[Dictionary],
    *,
    tolerance: float = 0.01,
    theta: float = DEFAULTS.theta,
    draws: int = 256,
    rng: Rng = 0,
) -> Allocation:
    """The division of `n_latents` among `parts` that minimises the expected loss of a sample.

    G m + kept <= `n_latents`. Loss and p_hat are linear between the numbers of latents in `curve`,
    and a feature without a latent costs its energy. Where k does not bind, all R pairs of opposite
    atoms are exact, orthogonal or not, and the p_hat of one of them is returned.

    Args:
        parts: what competes.
        n_latents: latents M.
        curve: dictionaries of increasing m, from `loss_curve`.
        tolerance: share of a sample's mean energy within which a loss counts as the least.
        theta: least cosine of a match.
        draws: rotations for p_hat.
        rng: a generator or a seed, of the rotations.
    """
    kept = np.arange(min(parts.n_isolated, count("n_latents", n_latents)) + 1)
    sizes = np.array([len(one.atoms) for one in curve])
    left = np.minimum((n_latents - kept) / parts.n_blocks, sizes[-1])
    losses = np.array([one.loss for one in curve])
    total = np.interp(left, sizes, losses) + (parts.n_isolated - kept) * parts.isolated_p
    best = int(np.argmin(total))
    mesh = np.linspace(0, left[best], 1 + 8 * int(np.ceil(left[best])))
    along = np.interp(mesh, sizes, losses)

    def first(slack: float) -> float:
        return float(mesh[np.argmax(along <= along.min() + slack)])

    m = first(NEGLIGIBLE * parts.energy)
    enough = first(between("tolerance", tolerance, 0, 1) * parts.energy)
    p = [_reappearance(one.atoms, theta, draws, rng) for one in curve]
    at_enough, at_m = np.interp([enough, m], sizes, p)
    return Allocation(m, enough, int(kept[best]), float(total[best]), float(at_m), float(at_enough))


def _reappearance(atoms: Array, theta: float, draws: int, rng: Rng) -> float:
    """p_hat of atoms [m, R] in Haar rotations of themselves; 0 without atoms."""
    if not len(atoms):
        return 0.0
    both, every = np.stack([atoms] * 2), np.ones((2, len(atoms)), dtype=bool)
    basis = np.eye(atoms.shape[1])
    return float(
        coverage_monte_carlo(both, every, every, basis, theta, draws=draws, rng=rng).mean()
    )


def _descend(parts: Parts, atoms: Array, encoder: Array, rng: np.random.Generator) -> Dictionary:
    """Adam on both, from a start; gradients of block 0 alone, which stands for all."""
    p = [atoms, encoder]
    mean, square = [np.zeros_like(atoms)] * 2, [np.zeros_like(atoms)] * 2
    for t in range(1, STEPS + 1):
        codes, z = parts.draw(BATCH, rng, active=True)
        c = codes[:, 0]
        fired = _selected(codes @ p[1].T, z, parts.k)[0][:, 0]
        a = (c @ p[1].T) * fired
        miss = a @ p[0] - c
        g = [a.T @ miss, (miss @ p[0].T * fired).T @ c]
        g[0] -= (g[0] * p[0]).sum(axis=1, keepdims=True) * p[0]
        rate = RATE * (1 - t / (STEPS + 1))
        for i in range(2):
            h = g[i] / BATCH
            mean[i] = 0.9 * mean[i] + 0.1 * h
            square[i] = 0.999 * square[i] + 0.001 * h**2
            m_hat, v_hat = mean[i] / (1 - 0.9**t), square[i] / (1 - 0.999**t)
            p[i] = p[i] - rate * m_hat / (np.sqrt(v_hat) + 1e-8)
        p[0] = unit(p[0])
    return Dictionary(p[0], p[1], _loss(parts, p[0], p[1]))


def _loss(parts: Parts, atoms: Array, encoder: Array) -> float:
    """Expected loss of a sample, on samples that do not depend on the dictionary."""
    rng, losses = np.random.default_rng(0), []
    for _ in range(EVALUATED // BATCH):
        codes, z = parts.draw(BATCH, rng, active=False)
        y = codes @ encoder.T
        fired, kept = _selected(y, z, parts.k)
        miss = (y * fired) @ atoms - codes
        losses.append((miss**2).sum() + (z**2 * ~kept).sum())
    return float(np.sum(losses) / EVALUATED)


def _selected(y: Array, z: Array, k: int) -> tuple[Mask, Mask]:
    """Which of y [n, G, m] and z [n, F] are positive and among a sample's k largest."""
    every = np.concatenate([y.reshape(len(y), -1), z], axis=1)
    least = np.full(len(y), np.nextafter(0, 1))
    if k < every.shape[1]:
        least = np.maximum(least, np.partition(every, -k, axis=1)[:, -k])
    return y >= least[:, None, None], z >= least[:, None]
