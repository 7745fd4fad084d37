"""synthsae: which latents of a sparse autoencoder (SAE) come back when it is trained again?

Names are imported on first use, so that importing metrics and theory does not import torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from synthsae import deprecated

if TYPE_CHECKING:
    from synthsae.estimator import StableDictionary
    from synthsae.evaluation import evaluate
    from synthsae.reports import report
    from synthsae.sae import SAEConfig, SAEStack
    from synthsae.sae.saelens import load_saelens, save_saelens
    from synthsae.seeds.consensus import consensus, load_consensus, save_consensus
    from synthsae.seeds.intervals import interval
    from synthsae.seeds.pooling import pool
    from synthsae.study import Study
    from synthsae.study.store import open_results
    from synthsae.train import TrainConfig
    from synthsae.world import World, WorldConfig

__version__ = "0.1.0"

_HOME = {
    "SAEConfig": "sae",
    "SAEStack": "sae",
    "StableDictionary": "estimator",
    "Study": "study.grid",
    "TrainConfig": "train",
    "World": "world",
    "WorldConfig": "world",
    "consensus": "seeds.consensus",
    "evaluate": "evaluation",
    "interval": "seeds.intervals",
    "load_consensus": "seeds.consensus",
    "load_saelens": "sae.saelens",
    "open_results": "study.store",
    "pool": "seeds.pooling",
    "report": "reports",
    "save_consensus": "seeds.consensus",
    "save_saelens": "sae.saelens",
}

__all__ = [
    "SAEConfig",
    "SAEStack",
    "StableDictionary",
    "Study",
    "TrainConfig",
    "World",
    "WorldConfig",
    "__version__",
    "consensus",
    "evaluate",
    "interval",
    "load_consensus",
    "load_saelens",
    "open_results",
    "pool",
    "report",
    "save_consensus",
    "save_saelens",
]

deprecated.install()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'synthsae' has no attribute {name!r}")
    return getattr(import_module(f"synthsae.{_HOME[name]}"), name)
