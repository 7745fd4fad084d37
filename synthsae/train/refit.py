"""Train new encoders for a fixed decoder."""

import torch

from synthsae.checks import ConfigError
from synthsae.sae import SAEStack
from synthsae.train.config import TrainConfig
from synthsae.train.group import Group
from synthsae.train.source import ActivationSource


def refit(stack: SAEStack, source: ActivationSource, config: TrainConfig) -> SAEStack:
    """SAEs with the decoder rows of `stack`, unchanged to the bit, and newly trained encoders.

    Encoder rows start as the decoder rows and encoder biases as 0, as in any training. The encoder
    and `b_dec` are then trained. For pooled latents this works better than to start from their old
    encoders, whose scales were learned in the dictionaries that the latents come from.

    Args:
        stack: SAEs whose decoder is kept.
        source: where the activations come from.
        config: how the encoders are trained, and on which data.

    Raises:
        ConfigError: for an architecture whose encoder does not have one row for each latent.
        FloatingPointError: if a loss is not finite.
    """
    if not stack.architecture.encoder_rows:
        allowed = "an architecture whose encoder has one row for each latent"
        raise ConfigError("stack.config.arch", stack.config.arch, allowed)
    params = {name: p.to(torch.float32, copy=True) for name, p in stack.params.items()}
    params |= {"w_enc": params["w_dec"].clone(), "b_enc": torch.zeros_like(params["b_enc"])}
    fresh = SAEStack(stack.config, stack.seeds, params)
    group = Group(source, fresh, config, config.data_seeds(stack.seeds), fixed_decoder=True)
    while group.n_done < config.n_steps:
        group.step()
    if group.frozen:
        raise FloatingPointError(
            f"loss is not finite; steps by position in the stack: {group.frozen}"
        )
    return fresh
