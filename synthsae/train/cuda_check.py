"""The small problem on which Adam's kernels are compared with PyTorch's operations."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn.functional import normalize

from synthsae.guard import Case
from synthsae.train.adam import Adam, FusedAdam

S, M, D = 2, 5, 33
RATES = (0.1, 0.05)


def adam(device: torch.device) -> Iterator[Case]:
    """Two steps of two SAEs, with clipping; the second SAE is frozen at the second step."""
    g = torch.Generator().manual_seed(0)

    def normal() -> dict[str, Tensor]:
        shapes = {"w_enc": (S, M, D), "b_enc": (S, M), "w_dec": (S, M, D), "b_dec": (S, D)}
        return {n: torch.randn(shape, generator=g).to(device) for n, shape in shapes.items()}

    start, *grads = (normal() for _ in range(1 + len(RATES)))
    start["w_dec"] = normalize(start["w_dec"], dim=2)

    def trained(kind: type[Adam] | type[FusedAdam]) -> list[Tensor]:
        """Parameters after the steps, and the norms of the gradients."""
        params = {name: p.clone() for name, p in start.items()}
        optimiser, norms = kind(params, sphere=True), []
        for i, rate in enumerate(RATES):
            step_grads = {name: each.clone() for name, each in grads[i].items()}
            norms.append(optimiser.norms(step_grads))
            optimiser.begin(rate)
            active = torch.arange(S, device=device) < S - i
            optimiser.step(step_grads, (1 / norms[-1]).clamp(max=1), active)
        return [*params.values(), *norms]

    yield Case(lambda: trained(FusedAdam), lambda: trained(Adam))


CHECKS = {"adam": adam}
