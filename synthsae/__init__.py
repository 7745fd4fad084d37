"""synthsae: train the same sparse autoencoder twice, and see what comes back."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthsae.agreement import consensus, load_consensus, save_consensus
    from synthsae.pooling import pool
    from synthsae.sae import SAEConfig, SAEStack
    from synthsae.sae.saelens import load_saelens, save_saelens
    from synthsae.store import open_results
    from synthsae.train import TrainConfig
    from synthsae.world import World, WorldConfig

__all__ = [
    "SAEConfig",
    "SAEStack",
    "TrainConfig",
    "World",
    "WorldConfig",
    "consensus",
    "load_consensus",
    "load_saelens",
    "open_results",
    "pool",
    "save_consensus",
    "save_saelens",
]

_HOME = {
    "consensus": "agreement",
    "load_consensus": "agreement",
    "save_consensus": "agreement",
    "open_results": "store",
    "pool": "pooling",
    "World": "world",
    "WorldConfig": "world",
    "TrainConfig": "train",
    "load_saelens": "sae.saelens",
    "save_saelens": "sae.saelens",
}


def __getattr__(name: str) -> Any:  # lazy, so that metrics and theory come without torch
    if name not in __all__:
        raise AttributeError(f"module 'synthsae' has no attribute {name!r}")
    return getattr(import_module(f"synthsae.{_HOME.get(name, 'sae')}"), name)
