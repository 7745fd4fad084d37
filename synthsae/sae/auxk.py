"""AuxK: dead latents learn to reconstruct what the live ones leave over (Gao et al. 2024, A.2).

At least five variants are in use; this one is pinned. For each SAE, with e = x - x_hat held fixed,

    e_hat = sum over the top min(D/2, number dead) dead latents of relu(pre-activation) w_dec,
    loss  = coefficient * sum ||e - e_hat||^2 / sum ||e - mean e||^2,

which is 0 where nothing is dead and where it would be 0/0. There is no b_dec in e_hat, and the
gradient reaches the dead latents' weights alone.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from synthsae.sae.base import Step
from synthsae.sae.kernels import inverse_scatter, rows, top

CHUNK = 256
"""Latents that `_bounded` takes at a time."""


class Revival(NamedTuple):
    """What AuxK asks of one SAE's n dead latents.

    Attributes:
        latents: which are dead, [n].
        loss: the auxiliary loss.
        w_dec: gradient of their decoder rows, [n, D].
        pre: gradient of their pre-activations, [B, n].
    """

    latents: Tensor
    loss: Tensor
    w_dec: Tensor
    pre: Tensor


def auxk(
    params: dict[str, Tensor],
    grads: dict[str, Tensor],
    x: Tensor,
    error: Tensor,
    step: Step,
) -> Tensor:
    """The AuxK loss of each SAE, [S]; its gradient is added to `grads` in place.

    Shapes: `x` what the encoder saw (x - b_dec) and `error` = x - x_hat, [S, B, D].
    """

    def pre(s: int, which: Tensor) -> Tensor:
        return torch.addmm(params["b_enc"][s, which], x[s], params["w_enc"][s, which].T)

    if step.max_dead is not None:
        return _bounded(params, grads, x, error, step)
    loss = x.new_zeros(len(x))
    for s, revival in revive(params["w_dec"], pre, error, step):
        which, loss[s] = revival.latents, revival.loss
        grads["w_dec"][s, which] += revival.w_dec
        grads["w_enc"][s, which] += revival.pre.T @ x[s]
        grads["b_enc"][s, which] += revival.pre.sum(0)
    return loss


def revive(
    w_dec: Tensor, pre: Callable[[int, Tensor], Tensor], error: Tensor, step: Step
) -> Iterator[tuple[int, Revival]]:
    """The SAEs with dead latents by their position, and what AuxK asks of these.

    `pre(s, which)` gives the pre-activations [B, n] of SAE s; `error` = x - x_hat [S, B, D].
    """
    for s in step.dead.any(1).nonzero().ravel().tolist():
        weight = step.aux_coefficient * inverse_scatter(error[s : s + 1])[0]
        which = step.dead[s].nonzero().ravel()
        decoder = w_dec[s, which]
        z = _keep_largest(pre(s, which).relu_(), error.shape[2] // 2)
        miss = torch.addmm(error[s], z, decoder, beta=-1)
        loss = weight * torch.linalg.vector_norm(miss) ** 2
        g_pre = (miss @ decoder.T).mul_(z > 0).mul_(2 * weight)
        yield s, Revival(which, loss, (z.T @ miss).mul_(2 * weight), g_pre)


def _bounded(
    params: dict[str, Tensor], grads: dict[str, Tensor], x: Tensor, error: Tensor, step: Step
) -> Tensor:
    """`auxk` of all SAEs at once; `step.max_dead` alone fixes the time and the arrays it takes.

    The first `max_dead` latents are taken, the dead before the others, which do not fire here. They
    are taken in chunks of one size, and sums over chunks go from the first to the last. So an SAE
    has the same bits whatever the bound: latents that only other SAEs need add exact zeros.
    """
    assert step.max_dead is not None
    first_dead = step.dead.byte().argsort(dim=1, descending=True, stable=True)
    chunks = first_dead[:, : -(-step.max_dead // CHUNK) * CHUNK].split(CHUNK, dim=1)
    z = torch.cat([_activations(params, x, step.dead, which) for which in chunks], dim=2)
    parts = _keep_largest(z, x.shape[2] // 2).split(CHUNK, dim=2)
    miss = error.neg()
    for which, part in zip(chunks, parts, strict=True):
        miss.baddbmm_(part, rows(params["w_dec"], which))
    weight = step.aux_coefficient * inverse_scatter(error)
    slope = (2 * weight)[:, None, None]
    for which, part in zip(chunks, parts, strict=True):
        g_pre = (miss @ rows(params["w_dec"], which).mT).mul_(part > 0).mul_(slope)
        at = which[:, :, None].expand(-1, -1, x.shape[2])
        grads["w_dec"].scatter_add_(1, at, (part.mT @ miss).mul_(slope))
        grads["w_enc"].scatter_add_(1, at, g_pre.mT @ x)
        grads["b_enc"].scatter_add_(1, which, g_pre.sum(1))
    loss = weight * torch.linalg.vector_norm(miss, dim=(1, 2)) ** 2
    return loss.masked_fill(~step.dead.any(1), 0)


def _activations(params: dict[str, Tensor], x: Tensor, dead: Tensor, which: Tensor) -> Tensor:
    """relu of the pre-activations of the latents `which` [S, n], 0 for those alive, [S, B, n]."""
    bias = params["b_enc"].gather(1, which)[:, None]
    z = torch.baddbmm(bias, x, rows(params["w_enc"], which).mT).relu_()
    return z.masked_fill_(~dead.gather(1, which)[:, None], 0)


def _keep_largest(z: Tensor, k: int) -> Tensor:
    """`z` [..., n], not negative, with all but the k largest of each row set to 0, in place.

    Entries equal to the k-th largest are all kept.
    """
    n = z.shape[-1]
    if n <= k:
        return z
    if k == 0:
        return z.zero_()
    if z.is_cuda:
        cut = top(z.view(-1, *z.shape[-2:]), k).values.amin(-1, keepdim=True).view(*z.shape[:-1], 1)
    else:  # measured: a sixth of the time of topk, which returns order and places
        cut = torch.from_numpy(np.partition(z.numpy(), n - k)[..., n - k, None])
    return z.masked_fill_(z < cut, 0)
