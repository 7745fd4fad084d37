"""Do stable latents carry the function because they are stable, or because they fire more often?

Gerasimov et al. (2606.12138) report that stable latents fire more often (.44% of tokens against
.18%) and that zeroing them costs more. Here blocks of rank 12, whose latents no seed finds again,
stay the same, and isolated features fire from far more often to far more rarely than the latents of
the blocks: the published order, and its opposite. The prediction (`ideal_code`) fits
nothing: the code of an SAE that has learned everything, and a latent's cost is what it fires. Our
worlds are ours; theirs is not published. On a preset, or on a model, which has no such axis:

    python -m synthsae.study asymmetry --world gerasimov_like --set world.isolated_p=0.02 --k 12
    python -m synthsae.study asymmetry --model gpt2 --layer 7 --text PATH --tokens 10M \\
        --n-latents 4096 --k 32
"""

import pandas as pd
import xarray as xr
from synthsae.studies.asymmetry import figure as told
from synthsae.studies.asymmetry.figure import cost_by_stability
from synthsae.studies.asymmetry.headline import cost_at_equal_rate
from synthsae.studies.asymmetry.ideal import ideal_code
from synthsae.studies.asymmetry.masking import masking_by_class
from synthsae.studies.asymmetry.scores import class_in_blocks, latent_function

from realdata import scores as text
from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """What stable latents cost against unstable ones of their firing rate, by world."""
    table = pd.DataFrame([_row(name, part) for name, part in told.worlds(ds)])
    ratio = table["cost at equal rate"]
    return Finding(
        "A stable latent costs {low:.1f} to {high:.1f} times as much explained variance as an "
        "unstable one of its firing rate, by setting. The mean cost of a class is its energy to "
        "{gap:.1%}, so the ratio is one of energies.",
        {"low": ratio.min(), "high": ratio.max(), "gap": table["off its energy"].max()},
        table,
    )


def _row(name: str, part: xr.Dataset) -> dict[str, object]:
    """One world: ratios of stable over unstable latents, and what explains their cost."""
    said = told.predicted(part)
    row: dict[str, object] = {"world": name} if name else {}
    for what, score in told.measured(part).items():
        row[what] = float(score.estimate)
        if said:
            row[f"{what}, predicted"] = said[what]
    row["cost at equal rate"] = float(told.at_equal_rate(part).estimate)
    row |= {f"R2 {what}": float(r2.estimate) for what, r2 in told.explained(part).items()}
    gap = abs(part.class_energy / part.class_cost.where(part.class_cost != 0) - 1).max()
    return row | {"off its energy": gap.item()} | told.spliced(part)


study = Study(
    question="Do stable latents carry the function because they are stable, or fire more often?",
    base=Config(
        world=WorldConfig(
            n_isolated=128, isolated_p=0.008, zipf=0.5, rank=12, block_p=0.15, noise=0.01
        ),
        train=TrainConfig(n_steps=1500, lr=0.01),
        eval_samples=16384,
    ),
    axes={"world.block_scale": (1.0, 2.0, 3.0), "world_seed": (0, 1)},
    scores=(
        latent_function,
        class_in_blocks,
        masking_by_class,
        ideal_code,
        scores.live_stability,
        scores.reconstruction,
        text.spliced_loss,
        text.surface_form,
    ),
    figure=cost_at_equal_rate,
    supplement=cost_by_stability,
    finding=finding,
    quick={
        "world.block_scale": (1.0, 3.0),
        "world_seed": 0,
        "n_seeds": 4,
        "train.n_steps": 100,
        "eval_samples": 4096,
    },
)
