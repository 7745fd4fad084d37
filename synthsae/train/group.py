"""Train one group of seeds: SAEs that share every matmul but do not affect one another."""

from collections.abc import Sequence

import torch
from torch import Tensor

from synthsae.sae import SAEStack, Step
from synthsae.train.adam import FusedAdam, adam, per_seed
from synthsae.train.config import TrainConfig
from synthsae.train.dead_latents import DeadLatentBound
from synthsae.train.graph import Graphs, graphs_help
from synthsae.train.source import ActivationSource, batches


class Group:
    """The state of the training of one group; `step` does one step.

    On a GPU a step does not wait for the device, unless the source does.

    Attributes:
        stack: the SAEs, trained in place.
        n_done: number of steps done.
        loss: loss of each SAE at its last step, [S]; NaN for a frozen SAE.
        samples_since_fired: number of samples since each latent last fired, [S, M].
        graphs: CUDA graphs of the step; None if the step is not recorded.

    Args:
        source: where the activations come from.
        stack: SAEs at step 0.
        config: how the SAEs are trained.
        data_seeds: the data seed of each SAE, [S].
        fixed_decoder: whether the decoder rows stay as they are.
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
        decoder, not_learned = stack.params["w_dec"], set(stack.architecture.buffers)
        not_learned |= {"w_dec"} if fixed_decoder else set()
        self._device = decoder.device
        self.samples_since_fired = torch.zeros(
            decoder.shape[:2], dtype=torch.long, device=decoder.device
        )
        self.loss = torch.full((len(decoder),), torch.nan, device=decoder.device)
        self._active = torch.ones_like(self.loss, dtype=torch.bool)  # not frozen, [S]
        self._n_active = torch.zeros_like(self.loss, dtype=torch.long)  # steps while active, [S]
        learned = {name: p for name, p in stack.params.items() if name not in not_learned}
        self._adam = adam(learned, sphere=not fixed_decoder)
        self._dead_bound = DeadLatentBound(config, decoder.shape[1])
        small = graphs_help(stack.config, len(decoder), config.batch_size)
        never_waits = isinstance(self._adam, FusedAdam)
        self.graphs = Graphs(self._changed()) if small and never_waits else None

    @property
    def frozen(self) -> dict[int, int]:
        """Position of each frozen SAE -> the step at which its loss or gradient was not finite."""
        n_active = enumerate(self._n_active.tolist())
        return {s: step for s, step in n_active if step < self.n_done}

    def step(self) -> None:
        """Draw one batch of every seed and do one step of Adam."""
        c, params = self.config, self.stack.params
        x = batches(self.source, self.n_done, c.batch_size, self.data_seeds, self._device)
        if self.n_done == 0:
            params["b_dec"].copy_(x.mean(1))
            for name, value in self.stack.architecture.start(params, x).items():
                params[name].copy_(value)
        since = self.samples_since_fired
        max_dead = self._dead_bound.at(self.n_done, since, self._active) if x.is_cuda else None
        self._adam.begin(c.rate(self.n_done, self.stack.config.size))
        if self.graphs is None or max_dead is None:
            self._learn(x, max_dead)
        else:
            self.graphs.step(self._learn, x, max_dead)
        self.n_done += 1

    def _changed(self) -> list[Tensor]:
        """The tensors that `_learn` changes in place."""
        moments = (t for name, t in self._adam.state() if not name.endswith(".step"))
        counters = (self.samples_since_fired, self.loss, self._active, self._n_active)
        return [*self.stack.params.values(), *moments, *counters]

    def _learn(self, x: Tensor, max_dead: int | None) -> None:
        """Update parameters and counters from the batch `x` [S, B, D].

        All updates are in place, so that a CUDA graph can repeat them. An SAE whose loss or
        gradient is not finite is no longer active, and keeps its parameters.
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
        self._active &= (found.loss + norm).isfinite()
        self._n_active += self._active
        self._adam.step(found.grads, (c.clip / norm).clamp(max=1), self._active)
        for name, value in found.buffers.items():
            before = params[name]
            before.copy_(torch.where(per_seed(self._active, before), value, before))
        self.loss.copy_(found.loss.masked_fill(~self._active, torch.nan))
        self.samples_since_fired.add_(c.batch_size).mul_(~found.fired)

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, by name, for a checkpoint.

        `steps` is the number of steps done, then the step at which each frozen SAE stopped; `at` is
        the position of each frozen SAE.
        """
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
        """Restore the result of `state` of the same group, bit for bit."""
        self.n_done, *at_steps = state["steps"].tolist()
        self._active.fill_(True)
        self._n_active.fill_(self.n_done)
        for s, step in zip(state["at"].tolist(), at_steps, strict=True):
            self._active[s], self._n_active[s] = False, step
        self.samples_since_fired.copy_(state["samples_since_fired"])
        self.loss.copy_(state["loss"])
        for name, p in self.stack.params.items():
            p.copy_(state[f"param.{name}"])
        moments = {key.removeprefix("adam."): v for key, v in state.items() if key[:5] == "adam."}
        self._adam.restore(moments)
