"""Two seeds differ in where they start and in what they see: which one moves a block's basis?

The start of an SAE and its data are drawn from streams of their own, so each can be shared by all
seeds while the other differs. Sharing both gives the same SAE, p_hat 1. Where nothing in the data
prefers a rotation, a shared start breaks the tie: latents keep the direction inside the block in
which they happened to lean at step 0, so seeds that share it agree far above the coverage law, and
most when they are trained least. Shared data move p_hat by a hundredth at most (`excess` has
the number): data hardly choose the basis, they let it drift from its start. Longer training
forgets that: at 2,560 steps (world 0, 655,360 samples) seeds that share it are at .807 (law .749,
rank 4) and .328 (law .287, rank 8).
"""

import xarray as xr
from synthsae.studies.seed_sources.figure import law, over_worlds, stability_by_source
from synthsae.studies.seed_sources.scores import cosine_with_start

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.common import interval_over_seeds, slices
from synthsae.plot.phrases import TO, interval, number
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """What the Dataset shows at the largest budget, a sentence a rank."""
    end, sentences = over_worlds(ds).sortby("n_steps").isel(n_steps=-1), []
    for name, part in slices(end, ("init", "data", "seed", "seed_a", "seed_b", "block", "angle")):
        intervals = {}
        for init in ("independent", "shared"):
            for data in ("independent", "shared"):
                if init in part["init"] and data in part["data"]:
                    cell = part.sel(init=init, data=data)
                    intervals[init, data] = interval_over_seeds(cell.block_reappearance)
        text = {
            ("independent", "independent"): "both differ",
            ("shared", "independent"): "only the data differ",
            ("independent", "shared"): "only the start differs",
            ("shared", "shared"): "neither does",
        }
        parts = [f"{interval(i, '.3f', ends=TO)} where {text[key]}" for key, i in intervals.items()]
        start = f"With {name} the" if name else "The"
        samples = number(part.training_samples.mean(), ",.0f")
        sentences.append(
            f"{start} p_hat of block latents is {', '.join(parts)}; the law says "
            f"{number(law(part), '.3f')}, and after {samples} samples "
            f"the latents' cosine with their start is {number(part.start_memory.mean())}."
        )
    return " ".join(sentences)


study = Study(
    question="Start or data: which of the two moves the basis inside a block?",
    base=Config(
        world=WorldConfig(d_model=48, n_isolated=24, n_blocks=3),
        train=TrainConfig(batch_size=256, lr=0.01),
        eval_samples=4096,
    ),
    axes={
        "world_seed": (0, 1, 2),
        "world.rank": (4, 8),
        "train.n_steps": (40, 160, 640),
        "train.init": ("independent", "shared"),
        "train.data": ("independent", "shared"),
    },
    scores=(
        scores.training_budget,
        scores.block_stability,
        scores.coverage_law,
        scores.subspace_recovery,
        scores.feature_recovery,
        scores.seed_agreement,
        cosine_with_start,
        scores.reconstruction,
    ),
    figure=stability_by_source,
    finding=finding,
    quick={"world_seed": 0, "n_seeds": 4, "train.n_steps": (40, 120)},
    needs=(needs.blocks,),
)
