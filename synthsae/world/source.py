"""A world as an activation source."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

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

        Equal bits on one type of device, equal in law across types. The cost is that of what fires:
        `size` times the expected number of active directions, not of all directions. Correlations
        add `size` times the number of isolated features that are no children.
        """
        g = torch_generator(stream, seed, t, device=device)
        return self.sampler(g.device).batch(size, g)

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
        g = torch_generator(stream, seed, t, device=device)
        return self.sampler(g.device).magnitudes(size, g)

    def sampler(self, device: torch.device) -> Sampler:
        """The sampler on `device`, whose tables are made once."""
        if device not in self._samplers:
            self._samplers[device] = Sampler(self, device)
        return self._samplers[device]
