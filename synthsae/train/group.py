"""A group of seeds: SAEs that share every matmul, and none of which can notice the others."""

from collections.abc import Sequence

import torch
from torch import Tensor

from synthsae.sae import SAEStack, Step
from synthsae.train.config import TrainConfig
from synthsae.train.source import ActivationSource, batches


class Group:
    """The state of a group's training, and one step of it; with `fixed_decoder` decoder rows stay.

    Attributes:
        stack: the SAEs, trained in place.
        n_done: steps done.
        loss: loss of the last step of each SAE, [S]; NaN where it is frozen.
        silent: samples since each latent last fired, [S, M].
        frozen: position of an SAE whose loss or gradient stopped being finite -> that step.
    """

    def __init__(
        self,
        source: ActivationSource,
        stack: SAEStack,
        config: TrainConfig,
        data_seeds: Sequence[int],
        fixed_decoder: bool = False,
    ):
        self.source, self.stack, self.config, self.data_seeds = source, stack, config, data_seeds
        self.fixed_decoder = fixed_decoder
        self.n_done, self.frozen = 0, dict[int, int]()
        decoder, still = stack.params["w_dec"], set(stack.architecture.buffers)
        still |= {"w_dec"} if fixed_decoder else set()
        self.silent = torch.zeros(decoder.shape[:2], dtype=torch.long, device=decoder.device)
        self.loss = torch.full((len(decoder),), torch.nan, device=decoder.device)
        self._learned = {name: p for name, p in stack.params.items() if name not in still}
        self._adam = torch.optim.Adam(self._learned.values(), fused=True)
        self._kept: dict[int, dict[str, Tensor]] = {}

    def step(self) -> None:
        """One batch of every seed and one step of Adam."""
        c, params = self.config, self.stack.params
        x = batches(self.source, self.n_done, c.batch_size, self.data_seeds, self.silent.device)
        if self.n_done == 0:
            params["b_dec"].copy_(x.mean(1))
            for name, value in self.stack.architecture.start(params, x).items():
                params[name].copy_(value)
        for p in self._learned.values():
            p.grad = None  # its memory serves the new one
        dead = (self.silent >= c.silence_limit()) & (c.aux_coefficient > 0)
        how = Step(dead, c.aux_coefficient, self.n_done / c.n_steps, c.half, 1 / c.n_steps)
        found = self.stack.architecture.gradients(params, x, how)
        if self.fixed_decoder:
            del found.grads["w_dec"]
        else:
            make_tangent(found.grads["w_dec"], params["w_dec"])
        each = [torch.linalg.vector_norm(g.flatten(1), dim=1) for g in found.grads.values()]
        norm = torch.stack(each).norm(dim=0)
        self._freeze(found.loss + norm)
        self._descend(found.grads, (c.clip / norm).clamp(max=1))
        for name, value in found.buffers.items():
            params[name].copy_(value)
        self._restore()
        self.loss = found.loss.index_fill(0, self._positions(), torch.nan)
        self.silent = (self.silent + c.batch_size) * ~found.fired
        self.n_done += 1

    def _descend(self, grads: dict[str, Tensor], clip: Tensor) -> None:
        """Adam on the gradients times `clip` [S]; decoder rows go back to the sphere."""
        for name, p in self._learned.items():
            p.grad = grads[name].mul_(clip.view(-1, *[1] * (p.ndim - 1)))
        self._adam.param_groups[0]["lr"] = self.config.rate(self.n_done, self.stack.config.size)
        self._adam.step()
        if not self.fixed_decoder:
            decoder = self.stack.params["w_dec"]
            decoder /= torch.linalg.vector_norm(decoder, dim=2, keepdim=True)

    def _freeze(self, must_be_finite: Tensor) -> None:
        """Keep the parameters of each SAE whose value [S] is not finite as they are now."""
        for s in (~must_be_finite.isfinite()).nonzero().ravel().tolist():
            if s not in self.frozen:
                self.frozen[s] = self.n_done
                self._kept[s] = {name: p[s].clone() for name, p in self.stack.params.items()}

    def _restore(self) -> None:
        for s, kept in self._kept.items():
            for name, p in kept.items():
                self.stack.params[name][s] = p

    def _positions(self) -> Tensor:
        return torch.tensor(list(self.frozen), dtype=torch.long, device=self.loss.device)

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name: what a checkpoint holds."""
        steps = torch.tensor([self.n_done, *self.frozen.values()])
        out = {"silent": self.silent, "loss": self.loss, "steps": steps, "at": self._positions()}
        out |= {f"param.{name}": p for name, p in self.stack.params.items()}
        for name, p in self._learned.items():
            for key, value in self._adam.state[p].items():
                out[f"adam.{name}.{key}"] = value
        return out

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go back to a `state` of the same group, to the bit."""
        self.n_done, *at_steps = state["steps"].tolist()
        self.frozen = dict(zip(state["at"].tolist(), at_steps, strict=True))
        self.silent, self.loss = state["silent"], state["loss"]
        for name, p in self.stack.params.items():
            p.copy_(state[f"param.{name}"])
        for name, p in self._learned.items():
            keys = [key for key in state if key.startswith(f"adam.{name}.")]
            self._adam.state[p] = {key.rsplit(".", 1)[1]: state[key] for key in keys}
        self._kept = {
            s: {n: p[s].clone() for n, p in self.stack.params.items()} for s in self.frozen
        }


def make_tangent(gradient: Tensor, decoder: Tensor) -> None:
    """Make `gradient` [S, M, D] orthogonal to each unit decoder row: rows stay on the sphere."""
    along = torch.einsum("smd,smd->sm", gradient, decoder)
    gradient.addcmul_(decoder, along[:, :, None], value=-1)
