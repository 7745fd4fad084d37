"""A study of 24 small cells, in a file of its own as a user's would be."""

from matplotlib.figure import Figure

from synthsae import scores
from synthsae.config import Config
from synthsae.sae import SAEConfig
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig

study = Study(
    question="Does every cell get there?",
    base=Config(
        world=WorldConfig(d_model=8, n_isolated=2, n_blocks=1, rank=2),
        sae=SAEConfig(k=2),
        train=TrainConfig(n_steps=10, batch_size=32, lr=0.01, group_size=1, device="cpu"),
        n_seeds=2,
        eval_samples=300,
    ),
    axes={"world.noise": tuple(i / 10 for i in range(12)), "sae.k": (1, 2)},
    scores=(scores.reconstruction, scores.seed_agreement),
    figure=lambda ds: Figure(),
    finding=lambda ds: f"{int(ds.l0.notnull().all('seed').sum())} cells.",
)
