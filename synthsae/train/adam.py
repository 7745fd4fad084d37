"""Adam on stacks of SAEs, whose decoder rows stay on the unit sphere.

    t     = g - <g, d> d for each decoder row d, t = g for all else
    m, v  = running means of h and h^2, h = t min(1, clip / ||t||), the length over all of an SAE
    p    <- p - rate m^ / (sqrt(v^) + EPSILON), then decoder rows over their lengths

with the means corrected for their start, m^ and v^ (Kingma and Ba 2015, algorithm 1).
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.optim.adam import adam as torch_adam

from synthsae.gpu import on_triton
from synthsae.train.config import BETAS, EPSILON

WIDEST = 8192
"""Numbers of a decoder row that `Fused` can hold."""


class Adam:
    """Adam for parameters [S, ...] by name; with `sphere`, the rows of `w_dec` have length 1.

    Torch's operations; `Fused` is the twin of few kernels, which never waits for the device. It is
    torch's function and not its class, whose first step imports the compiler: two seconds.
    """

    def __init__(self, params: dict[str, Tensor], sphere: bool):
        self.params, self.sphere, self._rate = params, sphere, 0.0
        self._m, self._v = ({n: torch.zeros_like(p) for n, p in params.items()} for _ in range(2))
        self._steps = {n: torch.zeros((), device=p.device) for n, p in params.items()}

    def norms(self, grads: dict[str, Tensor]) -> Tensor:
        """||t|| of each SAE, [S]; decoder rows of `grads` may become tangent."""
        if self.sphere:
            make_tangent(grads["w_dec"], self.params["w_dec"])
        each = [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in grads.values()]
        return torch.stack(each).norm(dim=0)

    def begin(self, rate: float) -> None:
        """Set the learning rate of the next step."""
        self._rate = rate

    def step(self, grads: dict[str, Tensor], factor: Tensor, alive: Tensor) -> None:
        """One step on t times `factor` [S], which uses up `grads`; SAEs not `alive` [S] stay.

        `norms` has seen `grads`.
        """
        still = ~alive
        kept = {name: p[still] for name, p in self.params.items()} if still.any() else {}
        scaled = [grads[name].mul_(per_seed(factor, p)) for name, p in self.params.items()]
        torch_adam(
            list(self.params.values()), scaled, list(self._m.values()), list(self._v.values()), [],
            list(self._steps.values()), fused=True, amsgrad=False, beta1=BETAS[0], beta2=BETAS[1],
            lr=self._rate, weight_decay=0.0, eps=EPSILON, maximize=False,
        )  # fmt: skip
        if self.sphere:
            decoder = self.params["w_dec"]
            decoder /= torch.linalg.vector_norm(decoder, dim=2, keepdim=True)
        for name, before in kept.items():
            self.params[name][still] = before

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Steps done and moments of each parameter, as <parameter>.<name>."""
        for name, m in self._m.items():
            yield f"{name}.step", self._steps[name]
            yield f"{name}.exp_avg", m
            yield f"{name}.exp_avg_sq", self._v[name]

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a `state`."""
        for key, value in self.state():
            value.copy_(state[key])


class Fused:
    """Adam in two kernels for each parameter: one for the norm, one for all else."""

    def __init__(self, params: dict[str, Tensor], sphere: bool):
        from synthsae.train import adam_cuda

        self.params, self.sphere, self.n_done, self._compiled = params, sphere, 0, adam_cuda
        self._m, self._v = ({n: torch.zeros_like(p) for n, p in params.items()} for _ in range(2))
        device = next(iter(params.values())).device
        self._correction = torch.zeros(2, device=device)  # rate / (1 - beta1^n), 1 / (1 - beta2^n)

    def norms(self, grads: dict[str, Tensor]) -> Tensor:
        """||t|| of each SAE, [S]."""
        each = [self._compiled.squares(g, self._sphere(name)) for name, g in grads.items()]
        return torch.stack(each).sum(0).sqrt()

    def begin(self, rate: float) -> None:
        """Set the learning rate of the next step, which `step` reads on the device."""
        self.n_done += 1
        one, two = (1 - beta**self.n_done for beta in BETAS)
        self._correction[0].fill_(rate / one)  # a number of the host goes along with the launch
        self._correction[1].fill_(1 / two)

    def step(self, grads: dict[str, Tensor], factor: Tensor, alive: Tensor) -> None:
        """One step on t times `factor` [S]; SAEs not `alive` [S] stay."""
        for name, p in self.params.items():
            self._compiled.step(
                p, grads[name], self._m[name], self._v[name], factor, alive, self._correction,
                self._sphere(name) is not None,
            )  # fmt: skip

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """As `Adam.state`."""
        for name, m in self._m.items():
            yield f"{name}.step", torch.tensor(float(self.n_done))
            yield f"{name}.exp_avg", m
            yield f"{name}.exp_avg_sq", self._v[name]

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a `state`."""
        for name, m in self._m.items():
            self.n_done = int(state[f"{name}.step"])
            m.copy_(state[f"{name}.exp_avg"])
            self._v[name].copy_(state[f"{name}.exp_avg_sq"])

    def _sphere(self, name: str) -> Tensor | None:
        """The parameter, if its rows are on the sphere."""
        return self.params[name] if self.sphere and name == "w_dec" else None


def adam(params: dict[str, Tensor], sphere: bool) -> Adam | Fused:
    """The fastest there is where the parameters are."""
    first = next(iter(params.values()))
    narrow = not sphere or params["w_dec"].shape[2] <= WIDEST
    return (Fused if narrow and on_triton(first) else Adam)(params, sphere)


def make_tangent(gradient: Tensor, decoder: Tensor) -> None:
    """Make `gradient` [S, M, D] orthogonal to each unit decoder row: rows stay on the sphere."""
    along = torch.einsum("smd,smd->sm", gradient, decoder)
    gradient.addcmul_(decoder, along[:, :, None], value=-1)


def per_seed(value: Tensor, like: Tensor) -> Tensor:
    """`value` [S] with as many axes as `like` [S, ...]."""
    return value.view(-1, *[1] * (like.ndim - 1))
