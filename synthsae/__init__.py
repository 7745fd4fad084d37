"""synthsae: train the same sparse autoencoder twice, and see what comes back."""

from synthsae.sae import SAEConfig, SAEStack
from synthsae.store import open_results
from synthsae.train import TrainConfig
from synthsae.world import World, WorldConfig

__all__ = [
    "SAEConfig",
    "SAEStack",
    "TrainConfig",
    "World",
    "WorldConfig",
    "open_results",
]
