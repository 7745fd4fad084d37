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
"""Which of the directions [n, D] with firing rates [n] are kept, bool [n]."""


def pool(
    stack: SAEStack, rates: ArrayLike, *, live: float = function.LIVE, rule: Rule = distinct
) -> SAEStack:
    """One SAE, a stack of S = 1, with the latents of all S seeds of `stack` that `rule` keeps.

    `rates` [S, M] are held-out firing rates (`Evaluation.rates`); latents that fire less than
    `live` are left out before the rule, which by default drops near-duplicates
    (`metrics.pooling.distinct`).
    A latent keeps its decoder row, and an encoder that gives the pre-activation it had in its own
    seed; b_dec, and BatchTopK's threshold, are means over seeds. So one seed, or the same one
    several times, gives that SAE back. k stays: where it chooses among more latents that overlap,
    kept encoders overshoot; `train.refit` trains them for the decoder as it is.

    The recipe of Gerasimov et al. (arXiv 2606.12138) is not published in detail: this one is ours.
    Raises ConfigError for architectures that are not `poolable`, fewer latents kept than k, rates
    of another shape or outside [0, 1], and a rule that returns anything but bool [n].
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
