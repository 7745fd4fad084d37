"""A world as an activation source."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from types import ModuleType

import torch
from torch import Tensor

from synthsae.gpu import falling_back, usable
from synthsae.rng import numpy_generator, torch_generator
from synthsae.world.config import WorldConfig
from synthsae.world.planted import Planted, plant
from synthsae.world.sampler import Sampler

TRIED = 16
"""Samples that the kernel draws when it is tried; Triton compiles one kernel for all multiples."""


@dataclass(eq=False)
class World(Planted):
    """A planted world: the truth, and samples that depend only on seed, stream and batch number.

    Attributes:
        seed: seed of the world. Worlds of different seeds draw different samples, also at the same
            data seed, so that they are independent replicates.
    """

    seed: int = 0
    _samplers: dict[torch.device, Sampler] = field(init=False, repr=False, default_factory=dict)
    _by_kernel: dict[torch.device, bool] = field(init=False, repr=False, default_factory=dict)

    @classmethod
    def plant(cls, config: WorldConfig, *, seed: int) -> "World":
        """Plant a world (`planted.plant`) with the random stream `world` of `seed`."""
        return cls(**vars(plant(config, numpy_generator("world", seed))), seed=seed)

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

        The bits are the same on every device of one type; across types only the law is the same. A
        GPU with Triton and a GPU without Triton are two types. The cost is proportional to `size`
        times the expected number of active directions. Correlations add `size` times the number of
        isolated features without a parent.
        """
        sampler = self.sampler(device)
        if cuda := self._cuda(sampler):
            return cuda.batches(sampler, sampler.keys(stream, (seed,)), t, size)[0]
        own = sampler.own
        return sampler.batch(size, torch_generator(stream, seed, t, *own, device=device))

    def batches(
        self,
        t: int,
        size: int,
        *,
        seeds: Sequence[int],
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        """Batch `t` of every data seed, [S, size, D], with the bits of `batch`.

        On a GPU with Triton, one kernel draws all seeds if the world is `Sampler.simple`.
        """
        sampler = self.sampler(device)
        if cuda := self._cuda(sampler):
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
        """Magnitude of every planted feature in the samples of `batch`, [size, F + G m].

        The columns are those of `features`: isolated ones, then the atoms of the sparse law.
        """
        sampler = self.sampler(device)
        if cuda := self._cuda(sampler):
            return cuda.magnitudes(sampler, sampler.keys(stream, (seed,)), t, size)[0]
        own = sampler.own
        return sampler.magnitudes(size, torch_generator(stream, seed, t, *own, device=device))

    def sampler(self, device: torch.device | str) -> Sampler:
        """The sampler on `device`; its tables are made once."""
        device = torch.empty(0, device=device).device  # with the index of the GPU
        if device not in self._samplers:
            self._samplers[device] = Sampler(self, device, self.seed)
        return self._samplers[device]

    def _cuda(self, sampler: Sampler) -> ModuleType | None:
        """The module with the Triton kernel, if the kernel can draw this world; decided once.

        Later, `batch` and `magnitudes` would not agree if one of them changed to the sampler.
        """
        device = sampler.bias.device
        if device not in self._by_kernel:
            self._by_kernel[device] = _kernel_draws(sampler)
        if self._by_kernel[device]:
            from synthsae.world import cuda

            return cuda
        return None


def _kernel_draws(sampler: Sampler) -> bool:
    """Whether `sampler` is simple, and the kernel agrees with its twin and can be launched."""
    if sampler.simple and usable("world.draw", sampler.bias):
        with falling_back("world.draw", sampler.bias):
            from synthsae.world import cuda

            for draw in (cuda.batches, cuda.magnitudes):
                draw(sampler, sampler.keys("data", (0,)), 0, TRIED)
            return True
    return False
