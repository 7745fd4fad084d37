"""Stacks of sparse autoencoders and their architectures."""

from synthsae.sae import hierarchical_topk, kron, matryoshka, topk  # register themselves
from synthsae.sae.base import ARCHITECTURES, SAEConfig, Step
from synthsae.sae.kernels import Code
from synthsae.sae.stack import SAEStack

__all__ = [
    "ARCHITECTURES",
    "Code",
    "SAEConfig",
    "SAEStack",
    "Step",
    "hierarchical_topk",
    "kron",
    "matryoshka",
    "topk",
]
