"""Codes of blocks and circles, in the coordinates of their bases."""

import math

import torch
from torch import Tensor
from torch.nn.functional import normalize

from synthsae.world.config import WorldConfig
from synthsae.world.magnitudes import draw


def block_codes(c: WorldConfig, n: int, g: torch.Generator) -> Tensor:
    """`n` independent codes under the law of the blocks, [n, R]."""
    if c.law == "generalised_normal":
        return _generalised_normal(n, c.rank, c.beta, g) * c.block_scale
    z = torch.randn(n, c.rank, generator=g, device=g.device)
    if c.law == "gaussian":
        return z * c.block_scale
    radius = draw(c.magnitude, n, c.block_scale, c.magnitude_sd, g)
    return normalize(z, dim=1) * radius[:, None]


def circle_codes(c: WorldConfig, n: int, g: torch.Generator) -> Tensor:
    """`n` points on circles, [n, 2]: the phase lies on `circle_arc` turns, the radius is a
    magnitude.

    A whole circle with a uniform phase is an isotropic block of rank 2. The mean of an arc is not
    0. The place u on the arc has the density s^-u times a constant, with s = `circle_density`: the
    inverse of its distribution function is -log(1 - v (1 - 1 / s)) / log s.
    """
    place = torch.rand(n, generator=g, device=g.device)
    if c.circle_density > 1:
        place = (place * (1 / c.circle_density - 1)).log1p() / -math.log(c.circle_density)
    phase = place * (2 * math.pi * c.circle_arc)
    radius = draw(c.magnitude, n, c.block_scale, c.magnitude_sd, g)
    return torch.stack([phase.cos(), phase.sin()], dim=1) * radius[:, None]


def _generalised_normal(n: int, r: int, beta: float, g: torch.Generator) -> Tensor:
    """Independent draws with density proportional to exp(-|c / alpha|^beta) and variance 1, [n, r].

    |c / alpha|^beta follows Gamma(1 / beta). That is the law of U^beta times a Gamma(1 + 1 / beta)
    variable, with U uniform. Unit variance: alpha = sqrt(Gamma(1 / beta) / Gamma(3 / beta)).
    """
    alpha = 3**0.5 * math.exp((math.lgamma(1 + 1 / beta) - math.lgamma(1 + 3 / beta)) / 2)
    shape = torch.full((n, r), 1 + 1 / beta, device=g.device)
    # torch.distributions.Gamma draws from the same kernel, but only from the global generator
    size = alpha * torch._standard_gamma(shape, generator=g) ** (1 / beta)
    return size * torch.empty(n, r, device=g.device).uniform_(-1, 1, generator=g)
