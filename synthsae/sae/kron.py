"""KronSAE: latents as products of factors (Kurochkin et al. 2025, arXiv 2505.22255)."""

from dataclasses import dataclass, field
from math import isqrt
from typing import NamedTuple

import torch
from torch import Tensor

from synthsae.checks import ConfigError, typed, within
from synthsae.rng import torch_generator
from synthsae.sae import kernels
from synthsae.sae.auxk import revive
from synthsae.sae.base import ARCHITECTURES, Architecture, Gradients, SAEConfig, Step
from synthsae.sae.code import Code
from synthsae.sae.select import largest

FACTORS = 4
"""Largest default of the numbers m and n of factors in a head."""


@dataclass(frozen=True)
class KronOptions:
    """The options of KronSAE: h heads of m first and n second factors, h m n = n_latents."""

    heads: int | None = field(
        default=None, metadata={"help": "heads h, with h m n = n_latents (none: n_latents / (m n))"}
    )
    m: int | None = field(
        default=None, metadata={"help": "first factors m in a head (none: at most 4)"}
    )
    n: int | None = field(
        default=None, metadata={"help": "second factors n in a head (none: at most 4)"}
    )

    def __post_init__(self) -> None:
        typed("sae.options.", self)
        for name in ("heads", "m", "n"):
            within(f"sae.options.{name}", getattr(self, name), 1)


class KronSAE(Architecture):
    """Latent (i, j) of a head is the product of two factors, u_i and v_j: both have to be active.

        u     = relu(P (x - b_dec) + b_p), v = relu(Q (x - b_dec) + b_q), m and n in each head
        z     = TopK(mAND(u, v)), mAND(u, v)_ij = sqrt(u_i v_j) for all m n pairs of a head
        x_hat = W_dec^T z + b_dec

    with h heads and M = h m n. `w_enc` [S, (m + n) h, D] and `b_enc` [S, (m + n) h] hold P, then Q:
    row (i, head) and row (m + j, head). Latent (i, j, head) is their pair. The head is the last
    index, which makes mAND fast. The dense encoder matrix [M, D] is never formed. Rows of P and Q
    start uniform on the unit sphere, decoder row (i, j) of a head starts as unit(P_i + Q_j), and
    biases start at 0.

    Loss of one SAE: that of TopK, plus AuxK. AuxK changes the decoder rows of dead latents alone,
    but through P and Q it also changes live latents that share a factor with a dead one. It cannot
    revive a latent whose product is 0 on all samples. The matmul is always in float32.

    The gradient of mAND with respect to u_i, v_j / (2 z_ij), is unbounded near 0, and set to 0 at
    0. With the roots a of u and c of v, z_ij = a_i c_j and g_u_i = sum_j g_z_ij c_j / (2 a_i).
    """

    label, saelens, poolable, row_products = (
        "KronSAE",
        "",
        False,
        5,
    )  # a latent has two encoder rows
    Options = KronOptions
    encoder_rows = False

    def __init__(self, config: SAEConfig):
        super().__init__(config)
        self.h, self.m, self.n = shape(config)

    def encoder_multiply_adds(self, d_model: int) -> int:
        """Multiply-adds to encode a sample: D h (m + n) for factors, m n h for products."""
        return encoder_cost(self.config, d_model)[0].multiply_adds

    def init(self, d_model: int, seed: int) -> dict[str, Tensor]:
        """Parameters of one SAE at step 0, without the seed axis."""
        size = (self.m + self.n, self.h, d_model)
        w_enc = torch.randn(size, generator=torch_generator("init", seed))
        w_enc /= torch.linalg.vector_norm(w_enc, dim=2, keepdim=True)
        p, q = w_enc.split([self.m, self.n])
        w_dec = (p[:, None] + q).view(-1, d_model)
        return {
            "w_enc": w_enc.view(-1, d_model),
            "b_enc": torch.zeros(w_enc.shape[:2]).ravel(),
            "w_dec": w_dec / torch.linalg.vector_norm(w_dec, dim=1, keepdim=True),
            "b_dec": torch.zeros(d_model),
        }

    def encode(
        self, params: dict[str, Tensor], x: Tensor, *, bfloat16_selection: bool = False
    ) -> Code:
        """The code of `x` [S, B, D]; latents are always chosen in float32."""
        roots = self._roots(params, x - params["b_dec"][:, None])
        return Code(*largest(self._products(roots), self.k))

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        x = x - params["b_dec"][:, None]
        roots = self._roots(params, x)
        z = self._products(roots)
        code = Code(*largest(z, self.k))
        w_dec, by_latent = params["w_dec"], kernels.by_latent(code, z.shape[2])
        miss = kernels.decode(code, w_dec).sub_(x)  # x_hat - x
        scale = kernels.inverse_scatter(x)
        loss = torch.linalg.vector_norm(miss, dim=(1, 2)) ** 2 * scale

        g_out = miss * (2 * scale)[:, None, None]
        g_z = kernels.inner_products(g_out, w_dec, code).mul_(code.values > 0)
        factors = self._factor_gradient(roots, code, g_z)
        by_factor = kernels.by_latent(factors, roots.shape[2])
        g_b_enc = kernels.latent_sum(factors.values, by_factor)
        grads = {
            "w_enc": kernels.transpose_decode(factors.values, by_factor, x),
            "b_enc": g_b_enc,
            "w_dec": kernels.transpose_decode(code.values, by_latent, g_out),
            "b_dec": g_out.sum(1) - (g_b_enc[:, None] @ params["w_enc"])[:, 0],
        }
        for s, revival in revive(w_dec, lambda s, which: z[s].index_select(1, which), -miss, step):
            loss[s] += revival.loss
            grads["w_dec"][s, revival.latents] += revival.w_dec
            g = self._all_factors_gradient(roots[s], revival.latents, revival.pre)
            grads["w_enc"][s] += g.T @ x[s]
            grads["b_enc"][s] += g.sum(0)
        fired = kernels.latent_max(code.values, by_latent) > 0
        return Gradients(loss, grads, fired)

    def _roots(self, params: dict[str, Tensor], x: Tensor) -> Tensor:
        """Square roots of all factors, [S, B, (m + n) h], of `x`, activations minus b_dec."""
        return (x @ params["w_enc"].mT).add_(params["b_enc"][:, None]).relu_().sqrt_()

    def _products(self, roots: Tensor) -> Tensor:
        """mAND of all pairs, [S, B, M], from the roots of the factors, [S, B, (m + n) h]."""
        a, c = roots.unflatten(2, (-1, self.h)).split([self.m, self.n], dim=2)
        return (a[:, :, :, None] * c[:, :, None]).flatten(2)

    def _pair(self, latent: Tensor) -> tuple[Tensor, Tensor]:
        """The two factors of each latent, as rows of `w_enc`, in the shape of `latent`."""
        pair, head = latent // self.h, latent % self.h
        return pair // self.n * self.h + head, (self.m + pair % self.n) * self.h + head

    def _factor_gradient(self, roots: Tensor, code: Code, g_z: Tensor) -> Code:
        """Gradient of both factors of each entry of a code, as a code of factors, [S, B, 2 K]."""
        assert code.indices is not None
        p, q = self._pair(code.indices)
        a, c = roots.gather(2, p), roots.gather(2, q)
        g = g_z / 2
        values = torch.cat([g * c * kernels.reciprocal(a), g * a * kernels.reciprocal(c)], 2)
        return Code(values, torch.cat([p, q], 2))

    def _all_factors_gradient(self, roots: Tensor, latents: Tensor, g_z: Tensor) -> Tensor:
        """Gradient of all factors of one SAE, [B, (m + n) h], from that of some latents."""
        b, h, m, n = len(roots), self.h, self.m, self.n
        full = g_z.new_zeros(b, m * n * h).index_copy_(1, latents, g_z).view(b, m, n, h)
        a, c = roots.view(b, m + n, h).split([m, n], dim=1)
        g = torch.cat([(full * c[:, None]).sum(2), (full * a[:, :, None]).sum(1)], 1)
        return g.flatten(1).mul_(kernels.reciprocal(roots) / 2)


class Cost(NamedTuple):
    """The cost of an encoder.

    Attributes:
        multiply_adds: multiply-adds to encode one sample.
        bytes: bytes of its weights and biases in float32.
    """

    multiply_adds: int
    bytes: int


def encoder_cost(config: SAEConfig, d_model: int) -> tuple[Cost, Cost]:
    """The cost of KronSAE's encoder, and of a dense encoder of as many latents.

    The multiply-adds are D h (m + n) + m n h and D M. To decode takes K D more in both cases.
    """
    h, m, n = shape(config)
    kron = Cost(d_model * h * (m + n) + m * n * h, 4 * h * (m + n) * (d_model + 1))
    return kron, Cost(d_model * config.size, 4 * config.size * (d_model + 1))


def shape(config: SAEConfig) -> tuple[int, int, int]:
    """The numbers h, m and n of a config; those that are None follow from M = h m n.

    Raises:
        ConfigError: if M cannot be such a product.
    """
    options = config.options
    h, m, n = given = options.heads, options.m, options.n
    rest, over = divmod(config.size, (h or 1) * (m or 1) * (n or 1))
    if over or (None not in given and rest > 1):
        allowed = f"numbers whose product is n_latents, {config.size}"
        raise ConfigError("sae.options.heads, m, n", given, allowed)
    if m is None and n is None:
        m = _divisor(rest, FACTORS if h is None else isqrt(rest))
        n = _divisor(rest // m, FACTORS) if h is None else rest // m
        return h or rest // (m * n), min(m, n), max(m, n)
    m = m or (_divisor(rest, FACTORS) if h is None else rest)
    n = n or (_divisor(rest, FACTORS) if h is None else rest)
    return h or config.size // (m * n), m, n


def _divisor(x: int, most: int) -> int:
    """The largest divisor of `x` that is no more than `most`."""
    return next(i for i in range(most, 0, -1) if x % i == 0)


ARCHITECTURES["kron"] = KronSAE
