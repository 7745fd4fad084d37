"""Sparse blocks: which atoms are latents, and how far apart the atoms are."""

import numpy as np
import xarray as xr

from synthsae.metrics import latent
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.theory import coverage_closed, welch_bound


@requires("atoms")
def atom_recovery(run: Run) -> xr.Dataset:
    """Share of the atoms of each sparse block that are the same direction as a live latent.

    One-to-one (Hungarian, over all planted features) and signed, so that two close atoms need two
    latents. Chance is at most min(1, m A_R(same)), the share of the block's sphere that its m
    measured latents cover many-to-one. `coherence` is NaN for a single atom.
    """
    features, n = run.world.features, run.config.world.n_isolated
    threshold = run.definitions.same
    atoms, rank = run.world.atoms, run.config.world.rank
    m = atoms.shape[1]
    found = np.zeros((len(run.seeds), len(features)))
    for s, live in enumerate(run.live):
        _, which, cosine = latent.match(run.directions[s, live], features)
        found[s, which] = cosine >= threshold
    share = found[:, n:].reshape(len(run.seeds), len(atoms), m).mean(axis=-1)
    coherence = [latent.cosines(a, a) - 2 * np.eye(m) for a in atoms]
    return labelled(
        run,
        atoms_found=(
            ("seed", "block"),
            share,
            f"share of a block's atoms with a latent of their own at cosine >= {threshold:g}",
        ),
        atoms_found_chance=(
            ("seed", "block"),
            coverage_closed(run.per_block(lambda b: b.latents), rank, threshold),
            "at most the same for as many latents at random in the block",
        ),
        coherence=(
            ("block",),
            np.reshape([c.max() if m > 1 else np.nan for c in coherence], (len(atoms),)),
            "largest cosine between two atoms of a block",
        ),
        coherence_bound=(
            (),
            welch_bound(m, rank),
            "least possible largest absolute cosine of as many atoms (Welch)",
        ),
    )
