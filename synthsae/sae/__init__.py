"""Stacks of sparse autoencoders and their architectures."""

from synthsae.sae import (  # noqa: I001  each registers itself; tables and figures keep this order
    topk,
    batchtopk,
    relu,
    jumprelu,
    gated,
    matryoshka,
    hierarchical_topk,
    kron,
)
from synthsae.sae.base import ARCHITECTURES, Architecture, Gradients, SAEConfig, Step
from synthsae.sae.code import Code
from synthsae.sae.stack import SAEStack

__all__ = [
    "ARCHITECTURES",
    "Architecture",
    "Code",
    "Gradients",
    "SAEConfig",
    "SAEStack",
    "Step",
    "batchtopk",
    "gated",
    "hierarchical_topk",
    "jumprelu",
    "kron",
    "matryoshka",
    "relu",
    "topk",
]
