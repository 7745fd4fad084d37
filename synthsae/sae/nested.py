"""Losses that judge every truncation of a code, without keeping the reconstructions."""

from abc import abstractmethod
from typing import NamedTuple

import torch
from torch import Tensor

from synthsae.sae import kernels
from synthsae.sae.auxk import auxk
from synthsae.sae.base import Gradients, Step
from synthsae.sae.code import Code
from synthsae.sae.topk import TopK


class Nested(TopK):
    """TopK with a weighted sum of the losses of the first t = 0..k entries of each code.

    A subclass says in which order the entries come and what each truncation counts.
    """

    @abstractmethod
    def truncations(self, code: Code) -> tuple[Code, Tensor]:
        """The code with its entries in order, and the weights of its truncations [S, B, K + 1].

        The weights may have length 1 where they are the same for all.
        """

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        x = x - params["b_dec"][:, None]
        code, share = self.truncations(self._code(params, x, step.bfloat16_selection))
        found = walk(params["w_dec"], code, x, share)
        order = kernels.by_latent(code, params["w_dec"].shape[1])
        g_b_enc = kernels.latent_sum(found.values, order)
        grads = {
            "w_enc": kernels.transpose_decode(found.values, order, x),
            "b_enc": g_b_enc,
            "w_dec": found.w_dec,
            "b_dec": found.b_dec - (g_b_enc[:, None] @ params["w_enc"])[:, 0],
        }
        loss = found.loss
        if step.may_revive:
            loss = loss + auxk(params, grads, x, -found.miss, step)
        fired = kernels.latent_max(code.values, order) > 0
        return Gradients(loss, grads, fired)


class Walk(NamedTuple):
    """What `walk` finds.

    Attributes:
        loss: loss of each SAE, [S].
        miss: x_hat - x of the whole code, [S, B, D].
        values: gradient of the code's values, [S, B, K]; 0 where a latent does not fire.
        w_dec: gradient of the decoder, [S, M, D].
        b_dec: gradient of a constant added to every reconstruction, [S, D].
    """

    loss: Tensor
    miss: Tensor
    values: Tensor
    w_dec: Tensor
    b_dec: Tensor


def walk(w_dec: Tensor, code: Code, x: Tensor, share: Tensor) -> Walk:
    """sum_t share_t sum ||x - x_hat_t||^2 / sum ||x - mean x||^2, x_hat_t from t entries.

    Balagansky et al. 2025 (arXiv 2505.24473), made flat in memory: the walk from t = K to 1 carries
    rest = x_hat_t - x and g, the gradient of x_hat_t, up to the scale:

        g += 2 share_t rest,   dv_t = <w_t, g>,   dw_t += v_t g,   rest -= v_t w_t.

    O(B K D) time. Extra memory: a few arrays [S, B, D], and g at some entries in a row, so that dw
    is one sorted sum for all of them: as many as take no more than the decoder, or one.
    Shapes: `x` [S, B, D], which has b_dec taken off, `share` [S, B, K + 1].
    """
    assert code.indices is not None
    values, indices, m = code.values, code.indices, w_dec.shape[1]
    s, b, k = values.shape
    miss = kernels.decode(code, w_dec).sub_(x)
    share = share * kernels.inverse_scatter(x)[:, None, None]
    rest, g, g_values = miss.clone(), torch.zeros_like(x), torch.zeros_like(values)
    loss, g_w_dec = x.new_zeros(s, b), torch.zeros_like(w_dec)
    width = min(k, max(1, m // b))
    carried = x.new_empty(s, width, b, x.shape[2])
    for low in reversed(range(0, k, width)):
        some = range(low, min(low + width, k))
        for t in reversed(some):
            loss += _add_truncation(g, rest, share[:, :, t + 1])
            row = kernels.rows(w_dec, indices[:, :, t])
            g_values[:, :, t] = torch.linalg.vecdot(row, g)
            rest.addcmul_(row, values[:, :, t, None], value=-1)
            carried[:, t - low] = g
        part = Code(*(a[:, :, low : some.stop].mT.flatten(1)[..., None] for a in (values, indices)))
        each = carried[:, : len(some)].flatten(1, 2)
        g_w_dec += kernels.transpose_decode(part.values, kernels.by_latent(part, m), each)
    loss += _add_truncation(g, rest, share[:, :, 0])
    return Walk(loss.sum(1), miss, g_values.mul_(values > 0), g_w_dec, g.sum(1))


def _add_truncation(g: Tensor, rest: Tensor, share: Tensor) -> Tensor:
    """Loss [S, B] of one truncation with residual `rest`; its gradient is added to `g`."""
    g.addcmul_(rest, 2 * share[:, :, None])
    return share * torch.linalg.vector_norm(rest, dim=2) ** 2
