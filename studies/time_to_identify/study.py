"""Never, or not yet? How long training needs to find axes that the loss prefers only a little.

Codes along the true axes of a block are generalised-normal. At beta = 2 nothing prefers the axes,
and p_hat stays on the coverage law for ever. Just below 2 the axes are identifiable, but the loss
hardly depends on a rotation, so a training that stops early cannot be told from the null. How long
is long enough follows from the loss and from Adam, before any training
(`theory.turning_frames`): the clock is learning rate times steps, it runs faster for larger batches
and slower as beta approaches 2.
"""

from synthsae.studies.time_to_identify.figure import identification_over_time
from synthsae.studies.time_to_identify.finding import finding
from synthsae.studies.time_to_identify.scores import identification

from synthsae import scores
from synthsae.config import Config
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.world import WorldConfig

study = Study(
    question="Is a latent that seeds do not share unidentifiable, or not identified yet?",
    base=Config(
        world=WorldConfig(
            d_model=32, n_isolated=0, n_blocks=3, rank=6, law="generalised_normal", block_p=0.3
        ),
        sae=SAEConfig(n_latents=36, k=4),
        n_seeds=5,
        eval_samples=8192,
    ),
    axes={
        "world.beta": (1.5, 1.75, 2.0),
        "train.batch_size": (128, 512),
        "train.lr": (0.003, 0.01),
        "train.n_steps": (100, 200, 400, 800, 1600, 3200),
        "world_seed": (0, 1),
    },
    scores=(
        identification,
        scores.block_stability,
        scores.coverage_law,
        scores.axis_recovery,
        scores.subspace_recovery,
        scores.reconstruction,
    ),
    figure=identification_over_time,
    finding=finding,
    quick={
        "n_seeds": 3,
        "world.beta": (1.5, 2.0),
        "train.batch_size": 128,
        "train.lr": 0.01,
        "train.n_steps": (100, 400),
        "world_seed": 0,
        "eval_samples": 2048,
    },
    needs=(needs.one_law("generalised_normal"),),
)
