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
from synthsae.sae.kernels import inverse_scatter


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


def _keep_largest(z: Tensor, k: int) -> Tensor:
    """`z` [B, n] with all but the k largest entries of each row set to 0, in place.

    Entries equal to the k-th largest are all kept.
    """
    n = z.shape[1]
    if n <= k:
        return z
    if k == 0:
        return z.zero_()
    if (
        z.device.type == "cpu"
    ):  # measured: a sixth of the time of topk, which returns order and places
        cut = torch.from_numpy(np.partition(z.numpy(), n - k, axis=1)[:, n - k, None])
    else:
        cut = z.topk(k, dim=1, sorted=False).values.amin(1, keepdim=True)
    return z.masked_fill_(z < cut, 0)
