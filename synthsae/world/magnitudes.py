"""Laws of magnitudes: how strongly a feature fires."""

from collections.abc import Callable
from math import pi, sqrt

import torch
from torch import Tensor

MAGNITUDES: dict[str, Callable[[int, torch.Generator], Tensor]] = {
    "constant": lambda n, g: torch.ones(n, device=g.device),
    "uniform": lambda n, g: torch.rand(n, generator=g, device=g.device) * 3**0.5,
    "half_normal": lambda n, g: torch.randn(n, generator=g, device=g.device).abs_(),
    "exponential": lambda n, g: torch.empty(n, device=g.device).exponential_(generator=g) / 2**0.5,
}
"""Laws of magnitudes that are not negative, with mean square 1."""

FAMILIES = (*MAGNITUDES, "normal")
"""Names of all laws: those of `MAGNITUDES`, times a scale, and `normal`, max(0, N(scale, sd^2))."""

MEANS = dict(constant=1.0, uniform=sqrt(3) / 2, half_normal=sqrt(2 / pi), exponential=sqrt(0.5))
MEANS["normal"] = 1.0
"""Mean of each law at scale 1; of `normal`, the mean before negative values become 0."""


Number = Tensor | float


def draw(law: str, n: int, scale: Number, sd: Number, g: torch.Generator) -> Tensor:
    """Draw `n` magnitudes, [n].

    Args:
        law: one of `FAMILIES`.
        n: number of magnitudes.
        scale: one number, or one for each magnitude, [n].
        sd: standard deviation of the law `normal`, as `scale`; other laws ignore it.
        g: generator, whose device is that of the result.
    """
    if law == "normal":
        z = torch.randn(n, generator=g, device=g.device)
        return (scale + sd * z).clamp_(min=0)
    return MAGNITUDES[law](n, g) * scale
