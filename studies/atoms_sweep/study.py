"""When are true features of a low-rank block lost: for lack of latents, samples or incoherence?

Sparse blocks with the same numbers of atoms at several ranks: at rank 6 six atoms are orthogonal,
at rank 2 they are crowded. Each atom fires on its own, with a positive magnitude. An atom is found
when a latent of its own (one-to-one) has a cosine of .9 or more with it; steps stand for samples.
"""

import pandas as pd
import xarray as xr
from synthsae.studies.atoms_sweep.figure import atoms_by_latents, atoms_by_scarcity
from synthsae.studies.atoms_sweep.scores import atom_recovery

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding
from synthsae.plot.worlds import averaged
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.seeds.intervals import interval_of
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """What is lost when one of latents, samples and incoherence is scarce and the rest plenty."""
    ds = averaged(ds, "rank", "n_atoms", "n_latents", "n_steps")
    plenty = {"rank": -1, "n_atoms": -1, "n_latents": -1, "n_steps": -1}
    scarce: dict[str, dict[str, int]] = {
        "everything plenty": {},
        f"{ds.n_latents.values[0] / ds.sizes['block']:g} latents a block": {"n_latents": 0},
        f"{ds.n_steps.values[0]} steps": {"n_steps": 0},
        f"rank {ds['rank'].values[0]}": {"rank": 0},
    }
    each = []
    for name, less in scarce.items():
        at = ds.isel(plenty | less)
        found = interval_of(at.atoms_found)
        each.append(
            {
                "what is scarce": name,
                "found": float(found.estimate),
                "low": max(0.0, float(found.low)),
                "high": min(1.0, float(found.high)),
                "coherence": at.coherence.mean().item(),
            }
        )
    names = ("all", "latents", "samples", "crowded")
    return Finding(
        "{all:.0%} of the atoms get a latent of their own where latents and samples are plenty. "
        "{latents:.0%} do with few latents, {samples:.0%} with few samples, {crowded:.0%} where "
        "atoms are crowded into few dimensions.",
        {name: row["found"] for name, row in zip(names, each, strict=True)},
        pd.DataFrame(each),
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
    figure=atoms_by_scarcity,
    supplement=atoms_by_latents,
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
