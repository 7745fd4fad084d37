"""JumpReLU sparse autoencoders (Rajamanoharan et al. 2024, arXiv 2407.14435)."""

import torch
from torch import Tensor

from synthsae.sae.auxk import auxk
from synthsae.sae.base import ARCHITECTURES, Architecture, Gradients, Step
from synthsae.sae.kernels import Code
from synthsae.sae.penalised import cut, encoder_gradients, fit, scale
from synthsae.sae.topk import pre_activations

BANDWIDTH = 0.1
"""Width of the kernel, in mean lengths of x - mean x."""


class JumpReLU(Architecture):
    """A pre-activation above its latent's threshold fires, with its whole value.

        pre     = W_enc (x - b_dec) + b_enc
        z       = pre where pre > theta, else 0,      theta = exp(log_threshold) of each latent
        x_hat   = W_dec^T z + b_dec
        penalty = (L0 / k - 1)^2,      L0 = mean number of latents that fire in the batch

    The penalty has its aim within it, so that no controller is needed and its weight is 1; where
    `sae.coefficient` is given, the loss has coefficient * L0 / k instead, the paper's penalty.
    The gradient in theta is the paper's pseudo-derivative: with the rectangle K(u) = 1 where
    |u| < 1/2 and width e = BANDWIDTH mean ||x - mean x||,

        d z / d theta = -theta / e K((pre - theta) / e)
        d 1[pre > theta] / d theta = -1 / e K((pre - theta) / e).

    The step itself gives `pre` no gradient, as in the paper. AuxK is TopK's: a dead latent's
    pre-activation may be positive, below its threshold.
    """

    def init(self, d_model: int, seed: int) -> dict[str, Tensor]:
        """TopK's with thresholds, which the first batch places."""
        return super().init(d_model, seed) | {"log_threshold": torch.zeros(self.config.size)}

    def start(self, params: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Thresholds at which L0 is k on the first batch, and above 0."""
        least = 1e-3 * scale(x).length + torch.finfo(x.dtype).tiny
        at = torch.maximum(cut(params, x, self.k), least)
        return {"log_threshold": at.log()[:, None].expand_as(params["log_threshold"])}

    def encode(self, params: dict[str, Tensor], x: Tensor, *, half: bool = False) -> Code:
        """The code of `x` [S, B, D]."""
        pre = pre_activations(params, x - params["b_dec"][:, None])
        return Code(pre.mul_(pre > params["log_threshold"].exp()[:, None]), None)

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        w_dec, x = params["w_dec"], x - params["b_dec"][:, None]
        theta, size = params["log_threshold"].exp()[:, None], scale(x)
        pre = pre_activations(params, x)
        on = pre > theta
        z = pre * on
        miss, loss, g_out = fit(z, w_dec, x, size.squares)
        penalty, price = self._penalty(on.sum((1, 2)).to(x.dtype), x.shape[1])

        g_z = g_out @ w_dec.mT
        width = (BANDWIDTH * size.length)[:, None, None]
        near = (pre - theta).abs_() < width / 2
        g_theta = -torch.where(near, torch.addcmul(price[:, None, None], theta, g_z), 0).sum(1)
        grads = encoder_gradients(params, x, g_z.mul_(on), g_out)
        grads["w_dec"] = z.mT @ g_out
        grads["log_threshold"] = g_theta * (theta / width)[:, 0]
        loss = loss + penalty
        if step.dead.any():
            loss = loss + auxk(params, grads, x, -miss, step)
        return Gradients(loss, grads, on.any(1))

    def _penalty(self, n_fired: Tensor, b: int) -> tuple[Tensor, Tensor]:
        """The penalty of so many firings [S] on `b` samples, and what one more adds to it, [S]."""
        one = 1 / (self.k * b)
        ratio, c = n_fired * one, self.config.coefficient
        if c is None:
            return (ratio - 1) ** 2, 2 * (ratio - 1) * one
        return c * ratio, torch.full_like(ratio, c * one)


ARCHITECTURES["jumprelu"] = JumpReLU
