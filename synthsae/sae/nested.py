"""Losses of all truncations of a code, computed without storing their reconstructions."""

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
    """TopK whose loss is a weighted sum over the truncations of a code to t = 0..k entries.

    A subclass defines the order of the entries and the weights of the truncations.
    """

    @abstractmethod
    def truncations(self, code: Code) -> tuple[Code, Tensor]:
        """The code with its entries in order, and the weights of truncations, [S, B, K + 1].

        An axis of the weights may have length 1, if they are the same along it.
        """

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        x = x - params["b_dec"][:, None]
        code, weights = self.truncations(self._code(params, x, step.bfloat16_selection))
        found = nested_loss(params["w_dec"], code, x, weights)
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


class NestedLoss(NamedTuple):
    """A nested loss and its gradients.

    Attributes:
        loss: loss of each SAE, [S].
        miss: x_hat - x of the whole code, [S, B, D].
        values: gradient of the code's values, [S, B, K]; 0 where a latent does not fire.
        w_dec: gradient of the decoder rows, [S, M, D].
        b_dec: gradient of b_dec in the decoder (not in the encoder), [S, D].
    """

    loss: Tensor
    miss: Tensor
    values: Tensor
    w_dec: Tensor
    b_dec: Tensor


def nested_loss(w_dec: Tensor, code: Code, x: Tensor, weights: Tensor) -> NestedLoss:
    """The loss sum_t weight_t sum ||x - x_hat_t||^2 / sum ||x - mean x||^2, and its gradients.

    x_hat_t is the reconstruction from the first t entries. Balagansky et al. 2025 (arXiv
    2505.24473) define the loss; the algorithm is derived here. It goes from t = K down to 1 and
    updates two arrays [S, B, D]: rest = x_hat_t - x, and g, the gradient of the loss with respect
    to the t-th term. With v_t the value and w_t the decoder row of the t-th entry,

        g += 2 weight_t rest,   dv_t = <w_t, g>,   dw_t += v_t g,   rest -= v_t w_t.

    The time is O(B K D). The memory is a few arrays [S, B, D], and g of several consecutive
    entries, so that dw is one sorted sum for all of them. Their number is chosen so that they take
    no more memory than the decoder, but is at least 1.

    Args:
        w_dec: decoder rows, [S, M, D].
        code: a code with `indices`, its entries in order.
        x: activations minus b_dec, [S, B, D].
        weights: weight of each truncation t = 0..K, [S, B, K + 1].
    """
    assert code.indices is not None
    values, indices, m = code.values, code.indices, w_dec.shape[1]
    s, b, k = values.shape
    miss = kernels.decode(code, w_dec).sub_(x)
    weights = weights * kernels.inverse_scatter(x)[:, None, None]
    rest, g, g_values = miss.clone(), torch.zeros_like(x), torch.zeros_like(values)
    loss, g_w_dec = x.new_zeros(s, b), torch.zeros_like(w_dec)
    width = min(k, max(1, m // b))
    g_of_entry = x.new_empty(s, width, b, x.shape[2])
    for low in reversed(range(0, k, width)):
        some = range(low, min(low + width, k))
        for t in reversed(some):
            loss += _add_truncation(g, rest, weights[:, :, t + 1])
            row = kernels.rows(w_dec, indices[:, :, t])
            g_values[:, :, t] = torch.linalg.vecdot(row, g)
            rest.addcmul_(row, values[:, :, t, None], value=-1)
            g_of_entry[:, t - low] = g
        part = Code(*(a[:, :, low : some.stop].mT.flatten(1)[..., None] for a in (values, indices)))
        each = g_of_entry[:, : len(some)].flatten(1, 2)
        g_w_dec += kernels.transpose_decode(part.values, kernels.by_latent(part, m), each)
    loss += _add_truncation(g, rest, weights[:, :, 0])
    return NestedLoss(loss.sum(1), miss, g_values.mul_(values > 0), g_w_dec, g.sum(1))


def _add_truncation(g: Tensor, rest: Tensor, weight: Tensor) -> Tensor:
    """Loss of one truncation, [S, B]; its gradient is added to `g` [S, B, D], in place.

    `rest` is x_hat_t - x, [S, B, D], and `weight` that of the truncation, [S, B].
    """
    g.addcmul_(rest, 2 * weight[:, :, None])
    return weight * torch.linalg.vector_norm(rest, dim=2) ** 2
