"""Pooling: one SAE from the distinct decoder directions of many seeds."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from synthsae import checks
from synthsae.arrays import Array
from synthsae.checks import ConfigError
from synthsae.metrics import function
from synthsae.metrics.pooling import distinct
from synthsae.sae import ARCHITECTURES, SAEStack

Rule = Callable[[Array, Array], NDArray[np.bool_]]
"""Directions [n, D] and firing rates [n] -> the directions to keep, bool [n]."""


def pool(
    stack: SAEStack, rates: ArrayLike, *, live: float = function.LIVE, rule: Rule = distinct
) -> SAEStack:
    """Pool the latents of all seeds of a stack into one SAE.

    A latent keeps its decoder row. Its encoder row is unchanged too, and its bias is adjusted so
    that the pre-activation is the one in its own seed. `b_dec`, and the threshold of BatchTopK, are
    means over seeds. So pooling one seed, or several copies of it, returns that SAE. k is
    unchanged: it now selects from more latents that overlap, and the sum of their contributions can
    be too large; `train.refit` trains the encoders for the pooled decoder.

    Gerasimov et al. (arXiv 2606.12138) do not publish their recipe in detail. This one is ours.

    Args:
        stack: SAEs of S seeds.
        rates: firing rates on held-out samples, [S, M] (`Evaluation.rates`).
        live: latents with a lower firing rate are left out before `rule`.
        rule: which of the remaining latents to keep; by default near-duplicates are dropped
            (`metrics.pooling.distinct`).

    Returns:
        A stack of one SAE.

    Raises:
        ConfigError: the architecture is not `poolable`; fewer latents are kept than k; `rates` has
            another shape or values outside [0, 1]; or `rule` does not return bool [n].
    """
    if not stack.architecture.poolable:
        allowed = ", ".join(name for name, a in ARCHITECTURES.items() if a.poolable)
        raise ConfigError("stack.config.arch", stack.config.arch, allowed)
    params, rate = stack.params, checks.array("rates", rates, "[...]")
    checks.same_shape("rates", rate.shape, "stack", tuple(params["w_dec"].shape[:2]))
    kept = function.live(rate, live)
    d, rate = stack.directions()[kept], rate[kept]
    kept[kept] = checks.mask("rule(directions, rates)", rule(d, rate), rate.shape)
    b_dec = params["b_dec"].mean(0, keepdim=True)
    shift = torch.einsum("smd,sd->sm", params["w_enc"], b_dec - params["b_dec"])
    which = torch.from_numpy(kept).to(b_dec.device)
    rows = {name: params[name] for name in ("w_enc", "w_dec")} | {"b_enc": params["b_enc"] + shift}
    shared = {name: p.mean(0, keepdim=True) for name, p in params.items() if name not in rows}
    config = replace(stack.config, n_latents=int(kept.sum()))
    pooled = shared | {name: p[which][None] for name, p in rows.items()}
    return SAEStack(config, stack.seeds[:1], pooled)
