"""Adam on stacks of SAEs, whose decoder rows keep unit norm.

    t    = g - <g, d> d for the gradient g of a decoder row d; t = g for other parameters
    h    = t min(1, clip / ||t||), with the norm over all parameters of one SAE
    m, v = running means of h and h^2, with decay rates beta1 and beta2
    p   <- p - rate m^ / (sqrt(v^) + EPSILON); then each decoder row is divided by its norm

m^ and v^ are the means with the bias correction of Kingma and Ba (2015), algorithm 1.
"""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.optim.adam import adam as torch_adam

from synthsae.gpu import falling_back, usable
from synthsae.train.config import BETAS, EPSILON

MAX_ROW = 8192
"""Largest length D of a decoder row in `FusedAdam`, which holds a row in registers."""


class Adam:
    """Adam by PyTorch's operations, for any device. `FusedAdam` computes the same in few kernels.

    It calls PyTorch's function `adam`, because the first step of the class `torch.optim.Adam`
    imports the compiler, which takes two seconds.

    Args:
        params: parameters [S, ...] by name, changed in place.
        sphere: whether the rows of `w_dec` [S, M, D] keep unit norm.
    """

    def __init__(self, params: dict[str, Tensor], sphere: bool):
        self.params, self.sphere, self._rate = params, sphere, 0.0
        self._m, self._v = ({n: torch.zeros_like(p) for n, p in params.items()} for _ in range(2))
        self._steps = {n: torch.zeros((), device=p.device) for n, p in params.items()}

    def norms(self, grads: dict[str, Tensor]) -> Tensor:
        """||t|| of each SAE, [S]; makes the decoder rows of `grads` tangent, in place."""
        if self.sphere:
            make_tangent(grads["w_dec"], self.params["w_dec"])
        each = [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in grads.values()]
        return torch.stack(each).norm(dim=0)

    def begin(self, rate: float) -> None:
        """Begin a step with the learning rate `rate`."""
        self._rate = rate

    def step(self, grads: dict[str, Tensor], factor: Tensor, active: Tensor) -> None:
        """Update the parameters, in place.

        Args:
            grads: gradients [S, ...] by name, after a call of `norms` on them. They are changed.
            factor: min(1, clip / ||t||) of each SAE, [S].
            active: which SAEs are updated, bool [S].
        """
        frozen = ~active
        kept = {name: p[frozen] for name, p in self.params.items()} if frozen.any() else {}
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
            self.params[name][frozen] = before

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Number of steps and moments of each parameter, by the name <parameter>.<quantity>."""
        for name, m in self._m.items():
            yield f"{name}.step", self._steps[name]
            yield f"{name}.exp_avg", m
            yield f"{name}.exp_avg_sq", self._v[name]

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore the result of `state`."""
        for key, value in self.state():
            value.copy_(state[key])


class FusedAdam:
    """`Adam` in two Triton kernels for each parameter: one for the norm, one for the update.

    A step never waits for the device.
    """

    def __init__(self, params: dict[str, Tensor], sphere: bool):
        from synthsae.train import adam_cuda  # needs Triton

        self.params, self.sphere, self.n_done, self._compiled = params, sphere, 0, adam_cuda
        self._m, self._v = ({n: torch.zeros_like(p) for n, p in params.items()} for _ in range(2))
        device = next(iter(params.values())).device
        self._correction = torch.zeros(2, device=device)  # rate / (1 - beta1^n), 1 / (1 - beta2^n)

    def try_launches(self) -> None:
        """Launch the kernels without effect: an error in a real step would leave half a step."""
        frozen = torch.zeros_like(self.norms(self.params), dtype=torch.bool)
        self.step(self.params, frozen.float(), frozen)

    def norms(self, grads: dict[str, Tensor]) -> Tensor:
        """||t|| of each SAE, [S]; `grads` are not changed."""
        each = [self._compiled.squares(g, self._sphere(name)) for name, g in grads.items()]
        return torch.stack(each).sum(0).sqrt()

    def begin(self, rate: float) -> None:
        """Begin a step with the learning rate `rate`, which `step` reads from the device."""
        self.n_done += 1
        one, two = (1 - beta**self.n_done for beta in BETAS)
        self._correction[0].fill_(rate / one)  # the number is passed with the launch, not copied
        self._correction[1].fill_(1 / two)

    def step(self, grads: dict[str, Tensor], factor: Tensor, active: Tensor) -> None:
        """Update the parameters, in place. Arguments as of `Adam.step`."""
        for name, p in self.params.items():
            self._compiled.step(
                p, grads[name], self._m[name], self._v[name], factor, active, self._correction,
                self._sphere(name) is not None,
            )  # fmt: skip

    def state(self) -> Iterator[tuple[str, Tensor]]:
        """Number of steps and moments, by the same names as in `Adam.state`."""
        for name, m in self._m.items():
            yield f"{name}.step", torch.tensor(float(self.n_done))
            yield f"{name}.exp_avg", m
            yield f"{name}.exp_avg_sq", self._v[name]

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore the result of `state`."""
        for name, m in self._m.items():
            self.n_done = int(state[f"{name}.step"])
            m.copy_(state[f"{name}.exp_avg"])
            self._v[name].copy_(state[f"{name}.exp_avg_sq"])

    def _sphere(self, name: str) -> Tensor | None:
        """The parameter `name` if its rows keep unit norm, else None."""
        return self.params[name] if self.sphere and name == "w_dec" else None


def adam(params: dict[str, Tensor], sphere: bool) -> Adam | FusedAdam:
    """The fastest optimiser for the device of `params`; arguments as of `Adam`."""
    first = next(iter(params.values()))
    narrow = not sphere or params["w_dec"].shape[2] <= MAX_ROW
    if narrow and usable("train.adam", first):
        with falling_back("train.adam", first):
            fused = FusedAdam(params, sphere)
            fused.try_launches()
            return fused
    return Adam(params, sphere)


def make_tangent(gradient: Tensor, decoder: Tensor) -> None:
    """Make `gradient` [S, M, D] orthogonal to the unit decoder rows [S, M, D], in place."""
    along = torch.einsum("smd,smd->sm", gradient, decoder)
    gradient.addcmul_(decoder, along[:, :, None], value=-1)


def per_seed(value: Tensor, like: Tensor) -> Tensor:
    """`value` [S] as a view with as many axes as `like` [S, ...], for broadcasting."""
    return value.view(-1, *[1] * (like.ndim - 1))
