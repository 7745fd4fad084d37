"""Generalised-normal blocks: are the true axes among the latents, and would a loss prefer them?"""

import numpy as np
import xarray as xr
from scipy.integrate import quad
from scipy.linalg import block_diag
from scipy.special import erf, gammaln

from synthsae.arrays import Array
from synthsae.geometry import haar, unit
from synthsae.metrics import latent
from synthsae.rng import numpy_generator
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.theory import frame_loss, generalised_normal


@requires("blocks")
def axis_recovery(run: Run, points: int = 2048) -> xr.Dataset:
    """Largest cosine of the +-axes of each block to a live latent, beside two chance levels.

    The axes are the columns of a block's basis, along which a generalised-normal code has
    independent coordinates. Many-to-one and signed. The null gives the *measured* code a uniform
    rotation: the mean of max_j <u, U^T d_j> over uniform unit vectors u, by Monte Carlo.
    """
    live = [d[on] for d, on in zip(run.directions, run.live, strict=True)]
    axes = [latent.max_cosines(np.r_[u.T, -u.T], d).mean() for d in live for u in run.bases]
    rank, shape = run.config.world.rank, (len(run.seeds), len(run.bases))
    rng = numpy_generator("null", run.config.world_seed)
    u = unit(rng.standard_normal((points, rank)))
    null = [(u @ (d @ basis).T).max(axis=1).mean() for d in live for basis in run.bases]
    return labelled(
        run,
        axis_cosine=(
            ("seed", "block"),
            np.reshape(axes, shape),
            "mean over the +-axes of a block of the largest cosine to a live latent",
        ),
        axis_cosine_null=(
            ("seed", "block"),
            np.reshape(null, shape),
            "the same for the measured codes, rotated at random in the block",
        ),
        axis_cosine_chance=(
            (),
            chance_axis_cosine(rank),
            "the same for an orthogonal +- frame, rotated at random in the block",
        ),
    )


def chance_axis_cosine(rank: int) -> float:
    """E max_i |u_i| of a uniform unit vector u of R^R: cosine of an axis to a random +- frame.

    With z ~ N(0, I_R), u = z / |z| is independent of |z|, so it is E max |z_i| / E |z|, where
    P(max |z_i| <= t) = erf(t / sqrt 2)^R and E |z| = sqrt 2 Gamma((R + 1) / 2) / Gamma(R / 2).
    """
    largest = quad(lambda t: 1 - erf(t / 2**0.5) ** rank, 0, 40, limit=200)[0]
    length = 2**0.5 * np.exp(gammaln((rank + 1) / 2) - gammaln(rank / 2))
    return float(largest / length)


@requires("axes")
def flatness(run: Run, samples: int = 8192, draws: int = 32) -> xr.Dataset:
    """Loss of the world's axes and of random rotations inside its blocks, before any training.

    `theory.frame_loss` on the codes of all blocks at once, gates and all, so that the k latents of
    a sample are shared as they are in training; isolated features and noise are left out. In units
    of the codes' variance.
    """
    axes, rotated = _losses(run, samples, draws)
    return labelled(
        run,
        axes_loss=((), axes, "predicted share of variance lost with the axes as latents"),
        rotation_excess=(
            (),
            rotated.mean() - axes,
            "loss of randomly rotated frames minus that of the axes, as a share of the variance",
        ),
        rotation_excess_sd=(
            (),
            rotated.std(ddof=1),
            "standard deviation of rotation_excess over rotations",
        ),
    )


def _losses(run: Run, samples: int, draws: int) -> tuple[float, Array]:
    """`frame_loss` of the axes and of `draws` rotations, over the codes' variance."""
    w, k = run.config.world, run.config.sae.k
    rng = numpy_generator("null", run.config.world_seed, 1)
    gate = rng.random((samples, w.n_blocks, 1)) < w.block_p
    codes = gate * generalised_normal(w.beta, (samples, w.n_blocks, w.rank), rng)
    codes = codes.reshape(samples, -1)
    turns = [block_diag(*haar(w.rank, rng, (w.n_blocks,))) for _ in range(draws)]
    scale = (codes**2).sum(axis=1).mean()
    axes = frame_loss(codes, np.eye(codes.shape[1]), k) / scale
    return axes, np.array([frame_loss(codes, turn, k) for turn in turns]) / scale
