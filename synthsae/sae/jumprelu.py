"""JumpReLU sparse autoencoders (Rajamanoharan et al. 2024, arXiv 2407.14435)."""

import torch
from torch import Tensor

from synthsae.sae.auxk import auxk
from synthsae.sae.base import ARCHITECTURES, Architecture, Gradients, Step
from synthsae.sae.code import Code
from synthsae.sae.controller import CUT, FROZEN, PenaltyOptions
from synthsae.sae.penalised import cut, encoder_gradients, fit, scale
from synthsae.sae.topk import pre_activations

BANDWIDTH = 0.1
"""Width of the kernel, in mean lengths of x - mean x."""
RESET = 0.3
"""Share of the training in which the multiplier grows by e."""


class JumpReLU(Architecture):
    """A pre-activation above its latent's threshold fires, with its whole value.

        pre     = W_enc (x - b_dec) + b_enc
        z       = pre where pre > theta, else 0,      theta = exp(log_threshold) of each latent
        x_hat   = W_dec^T z + b_dec
        penalty = e^2 + 2 l e,      e = L0 / k - 1,      L0 = mean number that fire in the batch

    The penalty has its aim within it, with weight 1. Alone, e^2 would rest where a firing costs
    what it saves in reconstruction, up to 13% above the aim; so l is the multiplier of the
    constraint e <= 0, l_t = max(0, l_{t-1} + e_t / (RESET n_steps)), with e cut at +-1, which rests
    at the aim and is fixed for the last 20% of training (method of multipliers). Where
    `sae.options.coefficient` is given, the loss has coefficient * L0 / k, the paper's penalty.
    The gradient in theta is the paper's pseudo-derivative: with the rectangle K(u) = 1 where
    |u| < 1/2 and width e = BANDWIDTH mean ||x - mean x||,

        d z / d theta = -theta / e K((pre - theta) / e)
        d 1[pre > theta] / d theta = -1 / e K((pre - theta) / e).

    The step itself gives `pre` no gradient, as in the paper. AuxK is TopK's: a dead latent's
    pre-activation may be positive, below its threshold.
    """

    label, saelens, poolable, row_products = "JumpReLU", "jumprelu", False, 4
    read_from_saelens = ("jumprelu",)
    Options = PenaltyOptions

    buffers = ("multiplier",)

    def init(self, d_model: int, seed: int) -> dict[str, Tensor]:
        """TopK's with thresholds, which the first batch places, and the multiplier."""
        more = {"log_threshold": torch.zeros(self.config.size), "multiplier": torch.tensor(0.0)}
        return super().init(d_model, seed) | more

    def start(self, params: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Thresholds at which L0 is k on the first batch, and above 0."""
        least = 1e-3 * scale(x).length + torch.finfo(x.dtype).tiny
        at = torch.maximum(cut(params, x, self.k), least)
        return {"log_threshold": at.log()[:, None].expand_as(params["log_threshold"])}

    def encode(
        self, params: dict[str, Tensor], x: Tensor, *, bfloat16_selection: bool = False
    ) -> Code:
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
        multiplier, n = params["multiplier"], self.k * x.shape[1]
        excess = on.sum((1, 2)).to(x.dtype) / n - 1
        penalty, slope = self._penalty(excess, multiplier)
        price = (slope / n)[:, None, None]  # of one more firing

        g_z = g_out @ w_dec.mT
        width = (BANDWIDTH * size.length)[:, None, None]
        near = (pre - theta).abs_() < width / 2
        g_theta = -torch.where(near, torch.addcmul(price, theta, g_z), 0).sum(1)
        grads = encoder_gradients(params, x, g_z.mul_(on), g_out)
        grads["w_dec"] = z.mT @ g_out
        grads["log_threshold"] = g_theta * (theta / width)[:, 0]
        loss = loss + penalty
        if step.may_revive:
            loss = loss + auxk(params, grads, x, -miss, step)
        return Gradients(loss, grads, on.any(1), self._steer(multiplier, excess, step))

    def _penalty(self, excess: Tensor, multiplier: Tensor) -> tuple[Tensor, Tensor]:
        """The penalty of L0 / k - 1 = `excess` [S], and its derivative, [S]."""
        c = self.options.coefficient
        if c is None:
            return excess * (excess + 2 * multiplier), 2 * (excess + multiplier)
        return c * (excess + 1), torch.full_like(excess, c)

    def _steer(self, multiplier: Tensor, excess: Tensor, step: Step) -> dict[str, Tensor]:
        """The new multiplier."""
        if self.options.coefficient is not None or step.training_done >= 1 - FROZEN:
            return {}
        sum_of_e = multiplier + excess.clamp(-CUT, CUT) * (step.step_fraction / RESET)
        return {"multiplier": sum_of_e.relu()}


ARCHITECTURES["jumprelu"] = JumpReLU
