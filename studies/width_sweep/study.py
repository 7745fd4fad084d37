"""Are larger dictionaries less stable, or more?

The public seed report (Wyatt 2026) found larger ones less stable, but with another k at each size
(8 at 128 latents, 32 at 512, layer 6), so size and k are confounded. The coverage law says that
more latents in a block that no rotation changes come back *more* often, since their caps cover
more of it. Both hold, of different latents. Inside blocks p_hat rises with the latents there. Data
with noise in every direction, or a k above what fires, give a large dictionary *surplus* latents
that nothing planted fixes; these never come back, and the mean over all live latents falls. With k
scarce and no noise the surplus is dead, and the mean rises.

m = 2R latents a block is the least TopK loss where k does not bind (`theory.allocate`), and SAEs
come down to it with training. At k = 2 the least loss asks for more, and blocks take up to 5R.
m A_R is only a bound once caps overlap or members lean out of the block (at noise .1, k = 8 their
energy inside falls from .93 to .88 between 96 and 512 latents): it goes from .63 to .79 while
p_hat, on the Monte Carlo law of the whole directions, does not rise.
"""

import xarray as xr
from synthsae.studies.width_sweep.figure import KEEP, first_with_room, stability_by_width
from synthsae.studies.width_sweep.scores import latents_before_training

from synthsae import scores
from synthsae.arrays import Array
from synthsae.config import Config
from synthsae.plot.common import interval_over_seeds, slices
from synthsae.plot.phrases import change, count, number
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """What the Dataset shows between the first size with room for all of the truth and the last."""
    return " ".join(_sentence(name, part) for name, part in slices(ds.sortby("n_latents"), KEEP))


def _sentence(name: str, part: xr.Dataset) -> str:
    first, last = first_with_room(part), part.sizes["n_latents"] - 1
    ends = part.isel(n_latents=sorted({first, last}))
    every, block = (
        [number(v) for v in interval_over_seeds(ends[score]).estimate[[0, -1]]]
        for score in ("live_reappearance", "block_reappearance")
    )
    law = ends.coverage_prediction.mean(("seed", "block")).values
    m = ends.latents_per_block.mean(("seed", "block")).values
    sizes = " to ".join(f"{n}{' latents' * (i == 0)}" for i, n in enumerate(ends.n_latents.values))
    grows = ends.sizes["n_latents"] > 1
    start = f"With {name}, " if name else ""
    text = (
        f"{start}{'from' if grows else 'at'} {sizes}, mean p_hat of all live latents "
        f"{change(*every) if grows else f'is {every[0]}'}, that of block latents "
        f"{change(*block) if grows else f'is {block[0]}'} (law {', '.join(map(number, law))}; "
        f"{_counts(m)} a block), and "
        f"{count(ends.surplus_latents.isel(n_latents=-1).mean(), 'live latent')} "
    )
    surplus = number(ends.surplus_latents.isel(n_latents=-1).mean(), ".0f")
    return f"{text}{'is' if surplus == '1' else 'are'} surplus."


def _counts(m: Array) -> str:
    """Latents at each size: 2 and 12 latents."""
    *first, last = m
    return " and ".join([*(number(v, ".0f") for v in first), count(last, "latent")])


study = Study(
    question="Are larger dictionaries less stable, or more?",
    base=Config(
        world=WorldConfig(d_model=48, n_isolated=24, n_blocks=3, rank=6),
        train=TrainConfig(n_steps=300, batch_size=256, lr=0.01),
        eval_samples=8192,
    ),
    axes={
        "world.noise": (0.0, 0.1),
        "sae.k": (2, 8),
        "sae.n_latents": (24, 32, 48, 64, 96, 128, 256, 512),
    },
    scores=(
        scores.block_stability,
        scores.coverage_law,
        latents_before_training,
        scores.subspace_recovery,
        scores.feature_recovery,
        scores.seed_agreement,
        scores.live_stability,
        scores.latent_kinds,
        scores.reconstruction,
    ),
    figure=stability_by_width,
    finding=finding,
    quick={"n_seeds": 4, "train.n_steps": 150, "sae.k": 2, "sae.n_latents": (32, 64, 192)},
    needs=(needs.blocks,),
)
