"""A world as an activation source."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

import torch
from torch import Tensor

from synthsae.gpu import on_triton
from synthsae.rng import numpy_generator, torch_generator
from synthsae.world.config import WorldConfig
from synthsae.world.planted import Planted, plant
from synthsae.world.sampler import Sampler


@dataclass(eq=False)
class World(Planted):
    """Planted truth and a counter-based sampler of it."""

    _samplers: dict[torch.device, Sampler] = field(init=False, repr=False, default_factory=dict)

    @classmethod
    def plant(cls, config: WorldConfig, *, seed: int) -> "World":
        """Draw what `config` plants (`planted.plant`) from the `world` stream of `seed`."""
        return cls(**vars(plant(config, numpy_generator("world", seed))))

    def batch(
        self,
        t: int,
        size: int,
        *,
        seed: int,
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Batch `t` of the data seed `seed`, [size, D] float32: a function of the arguments alone.

        Equal bits on one type of device, equal in law across types; a GPU with Triton and one
        without are two types. The cost is that of what fires: `size` times the expected number of
        active directions, not of all directions. Correlations add `size` times the number of
        isolated features that are no children.
        """
        sampler = self.sampler(device)
        if cuda := _cuda(sampler):
            return cuda.batches(sampler, sampler.keys(stream, (seed,)), t, size)[0]
        return sampler.batch(size, torch_generator(stream, seed, t, device=device))

    def batches(
        self,
        t: int,
        size: int,
        *,
        seeds: Sequence[int],
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Batch `t` of every data seed, [S, size, D]: of each what `batch` makes, to the bit.

        On a GPU with Triton one kernel for all seeds, where what fires is `Sampler.simple`.
        """
        sampler = self.sampler(device)
        if cuda := _cuda(sampler):
            return cuda.batches(sampler, sampler.keys(stream, tuple(seeds)), t, size)
        return torch.stack(
            [self.batch(t, size, seed=seed, stream=stream, device=device) for seed in seeds]
        )

    def magnitudes(
        self,
        t: int,
        size: int,
        *,
        seed: int,
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """How strongly every planted feature fires in the same `batch`, [size, F + G m].

        The columns are those of `features`: isolated ones, then the atoms of the sparse law.
        """
        sampler = self.sampler(device)
        if cuda := _cuda(sampler):
            return cuda.magnitudes(sampler, sampler.keys(stream, (seed,)), t, size)[0]
        return sampler.magnitudes(size, torch_generator(stream, seed, t, device=device))

    def sampler(self, device: torch.device | str) -> Sampler:
        """The sampler on `device`, whose tables are made once."""
        device = torch.empty(0, device=device).device  # a GPU by its number
        if device not in self._samplers:
            self._samplers[device] = Sampler(self, device)
        return self._samplers[device]


def _cuda(sampler: Sampler) -> ModuleType | None:
    """The Triton kernel, where `sampler` is on a GPU that has it and what fires is simple."""
    if sampler.simple and on_triton(sampler.bias):
        from synthsae.world import cuda

        return cuda
    return None
