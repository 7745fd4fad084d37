"""Stacks of sparse autoencoders and their architectures."""

from synthsae.sae import topk  # registers itself
from synthsae.sae.base import ARCHITECTURES, SAEConfig, Step
from synthsae.sae.kernels import Code
from synthsae.sae.stack import SAEStack

__all__ = ["ARCHITECTURES", "Code", "SAEConfig", "SAEStack", "Step", "topk"]
