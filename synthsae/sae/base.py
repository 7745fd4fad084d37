"""The config of an SAE, and the interface of architectures to the trainer."""

from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, field, fields, is_dataclass, replace
from math import inf
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from synthsae.checks import ConfigError, nearest, one_of, typed, within
from synthsae.deprecated import OPTIONS, STEP, old_attributes, takes_old_options
from synthsae.rng import torch_generator
from synthsae.sae.code import Code
from synthsae.sae.kernels import firing_counts


@old_attributes({old: f"options.{new}" for old, new in OPTIONS.items()})
@takes_old_options
@dataclass(frozen=True)
class SAEConfig:
    """Architecture and size of an SAE, and the options that this architecture alone has.

    `options` may be given as an instance of the architecture's `Options` class, as a mapping of
    some options, or as None (all defaults). `dataclasses.replace(config, arch=...)` resets options
    that are at their defaults, and raises ConfigError for an option that is set.
    """

    arch: str = field(default="topk", metadata={"help": "name of the architecture"})
    n_latents: int | None = field(
        default=None, metadata={"help": "latents M of one SAE (none: 2 D)"}
    )
    k: int = field(
        default=4,
        metadata={
            "help": "latents that fire on a sample (L0): a maximum or a mean, by architecture"
        },
    )
    options: Any = field(default_factory=dict)

    def __post_init__(self) -> None:
        if isinstance(self.arch, str):
            one_of("sae.arch", self.arch, ARCHITECTURES)
            object.__setattr__(self, "options", options_of(self.arch, self.options))
        typed("sae.", self)
        typed("sae.options.", self.options)
        within("sae.n_latents", self.n_latents, 1)
        within("sae.k", self.k, 1, self.n_latents or inf)
        if self.n_latents is not None:
            ARCHITECTURES[self.arch](
                self
            )  # raises ConfigError for a size or options that do not fit

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> "SAEConfig":
        """The config that `record`, read from a JSON file, describes.

        Files of synthsae 0.1 hold the options of all architectures as fields. Options that the
        file's architecture does not have had no effect, and are left out.
        """
        now = {name: value for name, value in record.items() if name not in OPTIONS}
        if (arch := now.get("arch", cls.arch)) in ARCHITECTURES:
            known = {f.name for f in fields(ARCHITECTURES[arch].Options)}
            old = {new: record[name] for name, new in OPTIONS.items() if name in record}
            now["options"] = {n: old[n] for n in old.keys() & known} | now.get("options", {})
        return cls(**now)

    @property
    def size(self) -> int:
        """The number of latents M; raises ConfigError if `n_latents` is None."""
        if self.n_latents is None:
            raise ConfigError("sae.n_latents", None, "a number; SAEConfig.for_width chooses one")
        return self.n_latents

    def for_width(self, d_model: int) -> "SAEConfig":
        """This config with `n_latents` set: to 2 `d_model` if it is None."""
        return replace(self, n_latents=self.n_latents or 2 * d_model)

    def __getstate__(self) -> dict[str, Any]:
        """The fields, options as a dict: a worker unpickles before it imports their class."""
        return asdict(self)

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({"_pickled" if n == "options" else n: v for n, v in state.items()})

    def __getattr__(self, name: str) -> Any:
        """`options` of an unpickled config, which are made on first use."""
        if name != "options" or "_pickled" not in self.__dict__:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        object.__setattr__(self, "options", options_of(self.arch, self.__dict__["_pickled"]))
        return self.options


def options_of(arch: str, given: Any) -> Any:
    """An instance of the `Options` of `arch`.

    Args:
        arch: registry name of an architecture.
        given: options by name, or an instance of the `Options` of this or another architecture.

    Raises:
        ConfigError: for an option by name that `arch` does not have, and for an option of another
            architecture that is not at its default.
    """
    made = ARCHITECTURES[arch].Options
    if type(given) is made:
        return given
    if given is None:
        given = {}
    if isinstance(given, Mapping):
        own, changed = True, dict(given)
    elif is_dataclass(given) and not isinstance(given, type):
        own = _name(type(given)) == _name(made)  # the same class, of a file imported again
        every = {f: getattr(given, f.name) for f in fields(given)}
        changed = {f.name: value for f, value in every.items() if value != f.default}
    else:
        raise ConfigError("sae.options", given, f"{made.__name__}, the options of {arch}, or none")
    names = [f.name for f in fields(made)]
    for name, value in changed.items():
        if not own or name not in names:
            raise ConfigError(f"sae.options.{name}", value, allowed_options(arch, name))
    return made(**changed)


def allowed_options(arch: str, name: str) -> str:
    """The end of an error message: the options of `arch`, and the architectures with `name`."""
    every = {other: [f.name for f in fields(a.Options)] for other, a in ARCHITECTURES.items()}
    having = [other for other, names in every.items() if name in names and other != arch]
    owners = f"; {name} is an option of {', '.join(having)}"
    hint = owners if having else nearest(name, every[arch])
    return f"options of {arch}: {', '.join(every[arch]) or 'none'}{hint}"


def _name(cls: type) -> tuple[str, str]:
    return cls.__module__, cls.__qualname__


@old_attributes(STEP)
class Step(NamedTuple):
    """What `Architecture.gradients` is told about a training step.

    Attributes:
        dead: which latents AuxK revives, bool [S, M].
        aux_coefficient: weight of the AuxK loss.
        training_done: share of the training's steps before this one, from 0 to 1.
        bfloat16_selection: whether the matmul that chooses latents is in bfloat16.
        step_fraction: share of the training that one step is, 1 / n_steps.
        max_dead: upper bound on the number of dead latents of each SAE; None: count `dead`. On a
            GPU the trainer gives a bound, because to count would mean to wait for the device.
    """

    dead: Tensor
    aux_coefficient: float
    training_done: float = 0.0
    bfloat16_selection: bool = False
    step_fraction: float = 1e-3
    max_dead: int | None = None

    @property
    def may_revive(self) -> bool:
        """Whether there may be dead latents; False means that AuxK can be skipped."""
        return bool(self.dead.any()) if self.max_dead is None else self.max_dead > 0


class Gradients(NamedTuple):
    """Loss, gradients and new buffers of one batch.

    Attributes:
        loss: loss of each SAE, [S].
        grads: gradient of each parameter that is learned, [S, ...] by name.
        fired: which latents fired in the batch, bool [S, M].
        buffers: new value of each buffer that changes, [S, ...] by name.
    """

    loss: Tensor
    grads: dict[str, Tensor]
    fired: Tensor
    buffers: Mapping[str, Tensor] = MappingProxyType({})


@dataclass(frozen=True)
class NoOptions:
    """The options of an architecture that has none."""


class Architecture:
    """The interface of an architecture to the trainer.

    A subclass defines `encode`, and `loss` or `gradients`. Parameters are tensors [S, ...] by name.
    All architectures have `w_dec` [S, M, D], whose rows the trainer keeps at unit length, and
    `b_dec` [S, D].

    Attributes:
        config: the architecture's size and options.
        k: the number of latents that should fire on a sample (L0).
        options: `config.options`, an instance of `Options`.
        Options: the options that this architecture alone has: a frozen dataclass whose fields have
            defaults, a `help` in their metadata, and one of the types int, float, bool and str (or
            None). Their dotted names are `sae.options.NAME`.
        label: the name in words, for figures and tables.
        saelens: the architecture of SAELens that encodes as this one; "" if there is none.
        read_from_saelens: the architectures of SAELens that `load_saelens` reads as this one.
        poolable: whether latents of several SAEs can make one SAE: each latent has an encoder row,
            and the order of latents does not matter.
        encoder_rows: whether the encoder has a row for each latent.
        row_products: number of products with a row of D numbers in training, for each latent that
            fires. It is 4 for TopK: one to decode, and three for the gradients of the value, the
            decoder row and the encoder row. Nested losses also update the residual and its gradient
            for each truncation.
        buffers: names of the parameters that are not learned by gradient.
        arrays: upper bound on the number of arrays [B, M] that one seed has in memory at a time,
            without AuxK.
        static: whether `gradients` on a GPU always runs the same operations and never waits for
            the device, so that a CUDA graph can record it.
    """

    config: SAEConfig
    k: int
    options: Any
    Options: ClassVar[type[Any]] = NoOptions
    label: str = ""
    saelens: str = ""
    read_from_saelens: tuple[str, ...] = ()
    poolable: bool = False
    encoder_rows: bool = True
    row_products: int = 4
    buffers: tuple[str, ...] = ()
    arrays: int = 12
    static: bool = False

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        made: Any = cls.Options
        settings = getattr(made, "__dataclass_params__", None)  # None: not a dataclass
        if not (settings and settings.frozen) or any(f.default is MISSING for f in fields(made)):
            allowed = "a frozen dataclass whose fields have defaults"
            raise ConfigError(f"{cls.__name__}.Options", made, allowed)

    def __init__(self, config: SAEConfig) -> None:
        cls = type(self)
        if cls.loss is Architecture.loss and cls.gradients is Architecture.gradients:
            raise ConfigError("sae.arch", config.arch, "a class that defines loss or gradients")
        self.config, self.k, self.options = config, config.k, config.options

    def encoder_multiply_adds(self, d_model: int) -> int:
        """Multiply-adds to encode one sample."""
        return d_model * self.config.size

    def init(self, d_model: int, seed: int) -> dict[str, Tensor]:
        """Parameters of one SAE before training, by name, without the seed axis.

        They depend on `seed`, in the stream `init`, and on nothing else.
        """
        return initial_params(self.config, d_model, seed)

    def start(self, params: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Parameters [S, ...] that are set from the first batch `x` [S, B, D], by name.

        `b_dec` is already the mean of the batch.
        """
        return {}

    def encode(
        self, params: dict[str, Tensor], x: Tensor, *, bfloat16_selection: bool = False
    ) -> Code:
        """The code of `x` [S, B, D].

        Args:
            params: parameters of the SAEs, [S, ...] by name.
            x: activations, [S, B, D].
            bfloat16_selection: whether latents are chosen by a matmul in bfloat16.
        """
        raise NotImplementedError

    def loss(self, params: dict[str, Tensor], x: Tensor) -> Tensor:
        """Loss of each SAE on `x` [S, B, D], differentiable, [S]; an SAE does not affect others."""
        raise NotImplementedError

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradients on `x` [S, B, D]; `x` and `params` are not changed.

        The default differentiates `loss` by autograd, without AuxK. Gradients that are derived by
        hand are faster.
        """
        with torch.enable_grad():
            leaves = {n: p.detach().requires_grad_() for n, p in params.items()}
            learned = [n for n in leaves if n not in self.buffers]
            loss = self.loss(leaves, x)
            found = torch.autograd.grad(
                loss.sum(), [leaves[n] for n in learned], allow_unused=True, materialize_grads=True
            )
        fired = firing_counts(self.encode(params, x), params["w_dec"].shape[1]) > 0
        return Gradients(loss.detach(), dict(zip(learned, found, strict=True)), fired)


def check_finite(field: str, values: Tensor, infinite: bool = False) -> None:
    """Raise ConfigError for NaN, and for infinities unless `infinite` allows them."""
    bad = values.isnan() if infinite else ~values.isfinite()
    if n := int(bad.sum()):
        raise ConfigError(field, f"{n} NaN{'' if infinite else ' or infinite'}", "finite numbers")


ARCHITECTURES: dict[str, type[Architecture]] = {}
"""Name of an architecture in a config -> its class."""


def initial_params(config: SAEConfig, d_model: int, seed: int) -> dict[str, Tensor]:
    """Parameters of one SAE before training, by name, without the seed axis.

    Decoder rows are uniform on the unit sphere, from the stream `init`. Encoder rows equal them.
    Biases are 0; the trainer sets `b_dec` to the mean of the first batch.
    """
    shape = (config.size, d_model)
    w_dec = torch.randn(shape, generator=torch_generator("init", seed))
    w_dec /= torch.linalg.vector_norm(w_dec, dim=1, keepdim=True)
    return {
        "w_enc": w_dec,
        "b_enc": torch.zeros(config.size),
        "w_dec": w_dec,
        "b_dec": torch.zeros(d_model),
    }
