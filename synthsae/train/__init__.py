"""Train stacks of SAEs on any source of activations."""

from synthsae.train.checkpoint import EVERY
from synthsae.train.config import TrainConfig, resolve_device
from synthsae.train.memory import available, group_size, memory_bound
from synthsae.train.refit import refit
from synthsae.train.run import Trained, train
from synthsae.train.source import ActivationSource, batches

__all__ = [
    "EVERY",
    "ActivationSource",
    "TrainConfig",
    "Trained",
    "available",
    "batches",
    "group_size",
    "memory_bound",
    "refit",
    "resolve_device",
    "train",
]
