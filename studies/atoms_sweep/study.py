"""When are true features of a low-rank block lost: for lack of latents, samples or incoherence?

Sparse blocks with the same numbers of atoms at several ranks: at rank 6 six atoms are orthogonal,
at rank 2 they are crowded. Each atom fires on its own, with a positive magnitude. An atom is found
when a latent of its own (one-to-one) has a cosine of .9 or more with it; steps stand for samples.
"""

import xarray as xr
from synthsae.studies.atoms_sweep.figure import atoms_by_latents
from synthsae.studies.atoms_sweep.scores import atom_recovery

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.phrases import SHARE, number
from synthsae.plot.worlds import averaged, in_words
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """What is lost when one of latents, samples and incoherence is scarce and the rest plenty."""
    ds = averaged(ds, "rank", "n_atoms", "n_latents", "n_steps")
    plenty = {"rank": -1, "n_atoms": -1, "n_latents": -1, "n_steps": -1}
    scarce = {
        "with everything plenty": {},
        f"with {ds.n_latents.values[0] / ds.sizes['block']:g} latents a block": {"n_latents": 0},
        f"with {ds.n_steps.values[0]} steps": {"n_steps": 0},
        f"at rank {ds['rank'].values[0]}": {"rank": 0},
    }
    parts = []
    for text, less in scarce.items():
        found = in_words(ds.atoms_found.isel(plenty | less), own=True, within=SHARE)
        parts.append(f"{found} {text}")
    crowded = ds.coherence.isel(plenty | {"rank": 0}).mean().item()
    return (
        f"Of {ds.n_atoms.values[-1]} atoms a block (rank {ds['rank'].values[-1]}, "
        f"{ds.n_latents.values[-1] / ds.sizes['block']:g} latents a block, "
        f"{ds.n_steps.values[-1]} steps) the share with a latent of their own is "
        f"{'; '.join(parts)} (coherence {number(crowded)})."
    )


study = Study(
    question="Are low-rank features lost for lack of latents, of samples or of incoherence?",
    base=Config(
        world=WorldConfig(d_model=32, n_isolated=0, n_blocks=3, law="sparse", block_p=0.5),
        sae=SAEConfig(k=3),
        train=TrainConfig(batch_size=512, lr=0.01),
        n_seeds=2,
        eval_samples=8192,
    ),
    axes={
        "world.rank": (2, 4, 6),
        "world.n_atoms": (6, 8, 12),
        "sae.n_latents": (18, 36, 72),
        "train.n_steps": (50, 600),
        "world_seed": (0, 1, 2),
    },
    scores=(
        atom_recovery,
        scores.block_stability,
        scores.feature_recovery,
        scores.reconstruction,
    ),
    figure=atoms_by_latents,
    finding=finding,
    quick={
        "world.rank": (2, 6),
        "world.n_atoms": (6, 12),
        "sae.n_latents": (18, 72),
        "train.n_steps": (50, 200),
        "eval_samples": 4096,
        "world_seed": 0,
    },
    needs=(needs.one_law("sparse"),),
)
