"""AuxK: dead latents learn to reconstruct the residual of the live ones (Gao et al. 2024, A.2).

Several variants of AuxK are in use. Here, for each SAE, with e = x - x_hat held fixed,

    e_hat = sum over the top min(D/2, number dead) dead latents of relu(pre-activation) w_dec,
    loss  = coefficient * sum ||e - e_hat||^2 / sum ||e - mean e||^2.

The loss is 0 if no latent is dead, and if the denominator is 0. There is no b_dec in e_hat. Only
the weights of dead latents get a gradient.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from synthsae.sae.base import Step
from synthsae.sae.kernels import inverse_scatter, rows, top

CHUNK = 256
"""Number of latents that `_auxk_of_all` takes at a time."""


class Revival(NamedTuple):
    """The AuxK loss of one SAE with n dead latents, and its gradients.

    Attributes:
        latents: numbers of the dead latents, [n].
        loss: the auxiliary loss, [].
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
    """The AuxK loss of each SAE, [S]; its gradients are added to `grads`, in place.

    Args:
        params: parameters of the SAEs, by name.
        grads: gradients of `w_dec`, `w_enc` and `b_enc`, by name.
        x: input of the encoder, x - b_dec, [S, B, D].
        error: x - x_hat, [S, B, D].
        step: which latents are dead, the weight of the loss, and the bound on dead latents.
    """

    def pre(s: int, which: Tensor) -> Tensor:
        return torch.addmm(params["b_enc"][s, which], x[s], params["w_enc"][s, which].T)

    if step.max_dead is not None:
        return _auxk_of_all(params, grads, x, error, step)
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
    """Yield (position in the stack, AuxK loss and gradients) of each SAE with dead latents.

    Args:
        w_dec: decoder rows, [S, M, D].
        pre: a function of an SAE's position and n of its latents that returns their
            pre-activations, [B, n].
        error: x - x_hat, [S, B, D].
        step: which latents are dead, and the weight of the loss.
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


def _auxk_of_all(
    params: dict[str, Tensor], grads: dict[str, Tensor], x: Tensor, error: Tensor, step: Step
) -> Tensor:
    """`auxk` of all SAEs at once; its time and memory depend on `step.max_dead` alone.

    Latents are sorted, the dead ones first, and the first `max_dead` are used; live latents among
    them have activation 0. They are processed in chunks of `CHUNK` latents, in order, so that an
    SAE has the same bits for every bound: latents that only other SAEs need add exact zeros.
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
    """Activations of the latents `which` [S, n], 0 for those that are not `dead`, [S, B, n]."""
    bias = params["b_enc"].gather(1, which)[:, None]
    z = torch.baddbmm(bias, x, rows(params["w_enc"], which).mT).relu_()
    return z.masked_fill_(~dead.gather(1, which)[:, None], 0)


def _keep_largest(z: Tensor, k: int) -> Tensor:
    """Set all but the k largest entries of each row of `z` [..., n] to 0, in place; returns `z`.

    Entries are 0 or more. All entries equal to the k-th largest are kept.
    """
    n = z.shape[-1]
    if n <= k:
        return z
    if k == 0:
        return z.zero_()
    if z.is_cuda:
        largest = top(z.view(-1, *z.shape[-2:]), k).values
        kth = largest.amin(-1, keepdim=True).view(*z.shape[:-1], 1)
    else:  # measured: a sixth of the time of torch.topk, which also sorts and returns indices
        kth = torch.from_numpy(np.partition(z.numpy(), n - k)[..., n - k, None])
    return z.masked_fill_(z < kth, 0)
