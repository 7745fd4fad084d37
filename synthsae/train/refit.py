"""Encoders trained for decoder directions that stay as they are."""

import torch

from synthsae.checks import ConfigError
from synthsae.sae import SAEStack
from synthsae.train.config import TrainConfig
from synthsae.train.group import Group
from synthsae.train.source import ActivationSource


def refit(stack: SAEStack, source: ActivationSource, config: TrainConfig) -> SAEStack:
    """New encoders for the decoder rows of `stack`, which stay as they are to the bit.

    Encoders start as the decoder's rows, without bias, as at step 0 of any training; they (so the
    scale of codes) and b_dec are trained for `config.n_steps`, each seed on the data that `config`
    gives it. For pooled latents that beats starting from the encoders they had, whose scales suit
    a dictionary in which the others are not. Raises FloatingPointError where a loss is not finite,
    and ConfigError for an architecture whose encoder has not a row for each latent.
    """
    if not stack.architecture.encoder_rows:
        allowed = "an architecture whose encoder has a row for each latent"
        raise ConfigError("stack.config.arch", stack.config.arch, allowed)
    params = {name: p.to(torch.float32, copy=True) for name, p in stack.params.items()}
    params |= {"w_enc": params["w_dec"].clone(), "b_enc": torch.zeros_like(params["b_enc"])}
    fresh = SAEStack(stack.config, stack.seeds, params)
    group = Group(source, fresh, config, config.data_seeds(stack.seeds), fixed_decoder=True)
    while group.n_done < config.n_steps:
        group.step()
    if group.frozen:
        raise FloatingPointError(f"loss not finite; by position, the step: {group.frozen}")
    return fresh
