"""A group of seeds: SAEs that share every matmul and do not affect one another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from synthsae.gpu import on_triton
from synthsae.sae import SAEStack, Step
from synthsae.train.adam import adam, per_seed
from synthsae.train.config import TrainConfig
from synthsae.train.dead_latents import DeadLatentBound
from synthsae.train.graph import Graphs, worthwhile
from synthsae.train.source import ActivationSource, batches


class Group:
    """The state of a group's training, and one step of it.

    With `fixed_decoder` decoder rows are not trained. On a GPU a step does not wait for the device,
    unless the source does.

    Attributes:
        stack: the SAEs, trained in place.
        n_done: steps done.
        loss: loss of the last step of each SAE, [S]; NaN where it is frozen.
        samples_since_fired: samples since each latent last fired, [S, M].
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
        self.fixed_decoder, self.n_done = fixed_decoder, 0
        decoder, still = stack.params["w_dec"], set(stack.architecture.buffers)
        still |= {"w_dec"} if fixed_decoder else set()
        self._device = decoder.device
        self.samples_since_fired = torch.zeros(
            decoder.shape[:2], dtype=torch.long, device=decoder.device
        )
        self.loss = torch.full((len(decoder),), torch.nan, device=decoder.device)
        self._alive = torch.ones_like(self.loss, dtype=torch.bool)
        self._survived = torch.zeros_like(self.loss, dtype=torch.long)
        learned = {name: p for name, p in stack.params.items() if name not in still}
        self._adam = adam(learned, sphere=not fixed_decoder)
        self._dead_bound = DeadLatentBound(config, decoder.shape[1])
        small = worthwhile(stack.config, len(decoder), config.batch_size)
        self._graphs = Graphs() if small and on_triton(decoder) else None

    @property
    def frozen(self) -> dict[int, int]:
        """Position of an SAE whose loss or gradient stopped being finite -> that step."""
        survived = enumerate(self._survived.tolist())
        return {s: step for s, step in survived if step < self.n_done}

    def step(self) -> None:
        """One batch of every seed and one step of Adam."""
        c, params = self.config, self.stack.params
        x = batches(self.source, self.n_done, c.batch_size, self.data_seeds, self._device)
        if self.n_done == 0:
            params["b_dec"].copy_(x.mean(1))
            for name, value in self.stack.architecture.start(params, x).items():
                params[name].copy_(value)
        since = self.samples_since_fired
        max_dead = self._dead_bound.at(self.n_done, since, self._alive) if x.is_cuda else None
        self._adam.begin(c.rate(self.n_done, self.stack.config.size))
        if self._graphs is None or max_dead is None:
            self._learn(x, max_dead)
        else:
            self._graphs.step(self._learn, x, max_dead)
        self.n_done += 1

    def _learn(self, x: Tensor, max_dead: int | None) -> None:
        """Update everything from the batch `x` [S, B, D], in place so that a graph can repeat it.

        An SAE whose loss or gradient is not finite is no longer alive and keeps its parameters.
        """
        c, params = self.config, self.stack.params
        dead = (self.samples_since_fired >= c.dead_limit()) & (c.aux_coefficient > 0)
        context = Step(
            dead,
            c.aux_coefficient,
            training_done=self.n_done / c.n_steps,
            bfloat16_selection=c.bfloat16_selection,
            step_fraction=1 / c.n_steps,
            max_dead=max_dead,
        )
        found = self.stack.architecture.gradients(params, x, context)
        if self.fixed_decoder:
            del found.grads["w_dec"]
        norm = self._adam.norms(found.grads)
        self._alive &= (found.loss + norm).isfinite()
        self._survived += self._alive
        self._adam.step(found.grads, (c.clip / norm).clamp(max=1), self._alive)
        for name, value in found.buffers.items():
            before = params[name]
            before.copy_(torch.where(per_seed(self._alive, before), value, before))
        self.loss.copy_(found.loss.masked_fill(~self._alive, torch.nan))
        self.samples_since_fired.add_(c.batch_size).mul_(~found.fired)

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name, for a checkpoint."""
        frozen = self.frozen
        steps, at = torch.tensor([self.n_done, *frozen.values()]), torch.tensor(list(frozen))
        out = {
            "samples_since_fired": self.samples_since_fired,
            "loss": self.loss,
            "steps": steps,
            "at": at.long(),
        }
        out |= {f"param.{name}": p for name, p in self.stack.params.items()}
        return out | {f"adam.{name}": value for name, value in self._adam.state()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore a `state` of the same group, bit for bit."""
        self.n_done, *at_steps = state["steps"].tolist()
        self._alive.fill_(True)
        self._survived.fill_(self.n_done)
        for s, step in zip(state["at"].tolist(), at_steps, strict=True):
            self._alive[s], self._survived[s] = False, step
        self.samples_since_fired.copy_(state["samples_since_fired"])
        self.loss.copy_(state["loss"])
        for name, p in self.stack.params.items():
            p.copy_(state[f"param.{name}"])
        moments = {key.removeprefix("adam."): v for key, v in state.items() if key[:5] == "adam."}
        self._adam.restore(moments)
