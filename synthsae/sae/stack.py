"""A stack: several SAEs with the same config and different seeds."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from operator import index
from pathlib import Path
from reprlib import repr as short

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from synthsae import files
from synthsae.arrays import Array
from synthsae.checks import ConfigError
from synthsae.geometry import unit
from synthsae.sae.base import ARCHITECTURES, Architecture, SAEConfig, check_finite
from synthsae.sae.code import Code
from synthsae.sae.kernels import decode


class UnknownError(ConfigError):
    """An architecture that is not registered."""


def defined_in(arch: str) -> str:
    """The file (or module) that registers `arch`; "" for an architecture of this package."""
    module = ARCHITECTURES[arch].__module__
    if module.startswith("synthsae."):
        return ""
    return getattr(sys.modules.get(module), "__file__", None) or module


@dataclass
class SAEStack:
    """S SAEs of one config; the first axis of every parameter is the seed.

    Attributes:
        config: architecture, size and options, the same for all SAEs.
        seeds: the seed of each SAE, [S].
        params: `w_dec` [S, M, D], `b_dec` [S, D] and the other parameters of the architecture, in
            float32; a `log_threshold` that `load_saelens` read is float64.
    """

    config: SAEConfig
    seeds: tuple[int, ...]
    params: dict[str, Tensor]

    def __post_init__(self) -> None:
        self.seeds = tuple(index(seed) for seed in self.seeds)  # JSON does not hold NumPy integers

    def __repr__(self) -> str:
        m, d = self.params["w_dec"].shape[1:]
        return f"SAEStack({self.config.arch}, seeds={short(self.seeds)}, {m} latents, d_model={d})"

    @classmethod
    def init(
        cls,
        config: SAEConfig,
        d_model: int,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
    ) -> "SAEStack":
        """SAEs before training, one for each seed. A seed gives the same SAE in every stack."""
        config = config.for_width(d_model)
        each = [ARCHITECTURES[config.arch](config).init(d_model, s) for s in seeds]
        params = {n: torch.stack([p[n] for p in each]).to(device) for n in each[0]}
        return cls(config, tuple(seeds), params)

    @classmethod
    def join(cls, stacks: Sequence["SAEStack"]) -> "SAEStack":
        """One stack of the SAEs of several stacks. Raises ConfigError if their configs differ."""
        for stack in stacks:
            if stack.config != stacks[0].config:
                raise ConfigError("config", stack.config, f"that of the first, {stacks[0].config}")
        params = {n: torch.cat([s.params[n] for s in stacks]) for n in stacks[0].params}
        return cls(stacks[0].config, tuple(seed for s in stacks for seed in s.seeds), params)

    @property
    def architecture(self) -> Architecture:
        """The architecture that `config` names, with its options."""
        return ARCHITECTURES[self.config.arch](self.config)

    def encode(self, x: Tensor) -> Code:
        """The code of `x` [S, B, D], or [B, D] for the same batch for every SAE."""
        return self.architecture.encode(self.params, self._stacked(x))

    def decode(self, code: Code) -> Tensor:
        """The reconstruction of a code, [S, B, D]."""
        return decode(code, self.params["w_dec"]) + self.params["b_dec"][:, None]

    def directions(self) -> Array:
        """Decoder rows scaled to unit norm, as a NumPy array [S, M, D]."""
        return unit(self.params["w_dec"].cpu().numpy())

    def select(self, which: Sequence[int]) -> "SAEStack":
        """A stack of the SAEs at the positions `which`, from 0."""
        params = {name: p[list(which)] for name, p in self.params.items()}
        return SAEStack(self.config, tuple(self.seeds[i] for i in which), params)

    def save(self, path: str | Path, more: Mapping[str, Array] | None = None) -> None:
        """Write parameters, config and seeds to one safetensors file, as a whole or not at all.

        Args:
            path: the file.
            more: further arrays for the file, by names that contain a dot; `load` skips them.
        """
        meta = {"config": json.dumps(asdict(self.config)), "seeds": json.dumps(self.seeds)}
        if defined := defined_in(self.config.arch):
            meta["defined"] = defined
        tensors = {n: p.contiguous().cpu() for n, p in self.params.items()}
        tensors |= {n: torch.from_numpy(values) for n, values in (more or {}).items()}
        files.write(Path(path), save(tensors, meta))

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> "SAEStack":
        """Read a stack that `save` wrote.

        Raises:
            ConfigError: for an architecture that is not registered (the error names the file that
                registers it), for a file that `save` did not write, for tensors that do not fit
                the config, and for values that are not finite; a `log_threshold` may be infinite.
        """
        try:
            with safe_open(path, framework="pt", device=device) as f:
                meta = f.metadata() or {}
                config, seeds = (json.loads(meta[name]) for name in ("config", "seeds"))
                unknown = config["arch"] not in ARCHITECTURES
                if unknown and (defined := meta.get("defined")):
                    allowed = f"{', '.join(ARCHITECTURES)}; import {defined} first, which adds it"
                    raise UnknownError("sae.arch", config["arch"], allowed)
                names = [name for name in f.keys() if "." not in name]  # noqa: SIM118
                params = {name: f.get_tensor(name) for name in names}
            stack = cls(SAEConfig.from_record(config), tuple(seeds), params)
            stack._check_shapes()
        except UnknownError:
            raise
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RecursionError) as error:
            allowed = f"a file that SAEStack.save wrote ({error})"
            raise ConfigError("path", str(path), allowed) from error
        for name, tensor in params.items():
            check_finite(f"{path}: {name}", tensor, infinite=name == "log_threshold")
        return stack

    def _check_shapes(self) -> None:
        """Raise ValueError unless parameters have the names and shapes that the config implies."""
        m, d = self.params["w_dec"].shape[-2:]
        if m != self.config.size:  # before tensors of that size are made
            raise ValueError(f"w_dec has {m} latents, where its config has {self.config.size}")
        one, two = (self.architecture.init(width, 0) for width in (1, 2))
        if one.keys() != self.params.keys():
            raise ValueError(f"tensors {sorted(self.params)}, where {sorted(one)} are")
        for name, p in self.params.items():
            pairs = zip(one[name].shape, two[name].shape, strict=True)
            shape = (len(self.seeds), *(n if n == other else d for n, other in pairs))
            if p.shape != shape or not p.is_floating_point():
                raise ValueError(f"{name} is {p.dtype} of shape {list(p.shape)}, not {list(shape)}")

    def _stacked(self, x: Tensor) -> Tensor:
        """`x` [B, D] or [S, B, D] as [S, B, D]."""
        return x.expand(len(self.seeds), *x.shape) if x.ndim == 2 else x
