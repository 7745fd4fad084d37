"""Training of stacks on any activation source."""

from synthsae.train.config import TrainConfig, resolve_device
from synthsae.train.memory import group_size, memory_bound, n_workers
from synthsae.train.run import Trained, train
from synthsae.train.source import ActivationSource, batches

__all__ = [
    "ActivationSource",
    "TrainConfig",
    "Trained",
    "batches",
    "group_size",
    "memory_bound",
    "n_workers",
    "resolve_device",
    "train",
]
