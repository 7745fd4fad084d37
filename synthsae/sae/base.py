"""What all SAE architectures share: config, parameters, and the interface to the trainer."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf
from types import MappingProxyType
from typing import NamedTuple

import torch
from torch import Tensor

from synthsae.checks import ConfigError, one_of, typed, within
from synthsae.rng import torch_generator
from synthsae.sae.code import Code
from synthsae.sae.kernels import firing_counts


@dataclass(frozen=True)
class SAEConfig:
    """An SAE's architecture and size."""

    arch: str = field(default="topk", metadata={"help": "architecture, by its registry name"})
    n_latents: int | None = field(
        default=None, metadata={"help": "latents M of one SAE (none: 2 for each dimension)"}
    )
    k: int = field(
        default=4, metadata={"help": "latents that fire on a sample (L0): at most, or on average"}
    )
    coefficient: float | None = field(
        default=None,
        metadata={"help": "weight of a sparsity penalty (none: a controller holds L0 at k)"},
    )
    matryoshka_prefixes: int | None = field(
        default=None,
        metadata={"help": "nested dictionaries of matryoshka, each half of the next (none: 5)"},
    )
    kron_heads: int | None = field(
        default=None, metadata={"help": "heads h of kron, h m n = n_latents (none: what is left)"}
    )
    kron_m: int | None = field(
        default=None, metadata={"help": "first factors m of a head of kron (none: 4 at most)"}
    )
    kron_n: int | None = field(
        default=None, metadata={"help": "second factors n of a head of kron (none: 4 at most)"}
    )

    def __post_init__(self) -> None:
        typed("sae.", self)
        one_of("sae.arch", self.arch, ARCHITECTURES)
        within("sae.n_latents", self.n_latents, 1)
        within("sae.k", self.k, 1, self.n_latents or inf)
        within("sae.coefficient", self.coefficient, 0, strict=True)
        for name in ("matryoshka_prefixes", "kron_heads", "kron_m", "kron_n"):
            within(f"sae.{name}", getattr(self, name), 1)
        if self.n_latents is not None:
            ARCHITECTURES[self.arch](self)  # which refuses what it cannot be

    @property
    def size(self) -> int:
        """The number of latents M, which must have been given or resolved by `for_width`."""
        if self.n_latents is None:
            raise ConfigError("sae.n_latents", None, "a number; SAEConfig.for_width chooses one")
        return self.n_latents

    def for_width(self, d_model: int) -> "SAEConfig":
        """This config with `n_latents` decided: a pair +-d for each dimension unless given."""
        return replace(self, n_latents=self.n_latents or 2 * d_model)


class Step(NamedTuple):
    """What the trainer tells an architecture beside the batch.

    Attributes:
        dead: latents that AuxK revives, [S, M].
        aux_coefficient: weight of the auxiliary loss.
        done: share of the training that is over.
        half: whether the matmul that chooses latents is in bfloat16.
        share: share of the training that is this step.
        room: no SAE has more dead latents than this; None: `dead` says, and may be looked at.
            On a GPU the trainer knows a bound, and a look would wait for all that is under way.
    """

    dead: Tensor
    aux_coefficient: float
    done: float = 0.0
    half: bool = False
    share: float = 1e-3
    room: int | None = None

    @property
    def may_revive(self) -> bool:
        """Whether AuxK may have anything to do."""
        return bool(self.dead.any()) if self.room is None else self.room > 0


class Gradients(NamedTuple):
    """What one batch says.

    Attributes:
        loss: loss of each SAE, [S].
        grads: gradient of each parameter that is learned, by name.
        fired: latents that fired, [S, M].
        buffers: new value of each parameter that is not learned by gradient, by name.
    """

    loss: Tensor
    grads: dict[str, Tensor]
    fired: Tensor
    buffers: Mapping[str, Tensor] = MappingProxyType({})


class Architecture:
    """What the trainer asks of an architecture. Parameters are stacked tensors [S, ...] by name.

    A class that inherits from this one defines `encode`, and `loss` or `gradients`. Every one has
    `w_dec` [S, M, D], whose rows the trainer keeps at unit length, and `b_dec` [S, D].

    Attributes:
        config: the architecture's size and options.
        k: the L0 asked.
        label: the name in words, for figures and tables.
        saelens: the architecture that SAELens runs it as; "" where it has none.
        poolable: whether each latent has an encoder row of its own and means the same in any order,
            so that latents of several SAEs can make one.
        encoder_rows: whether the encoder has a row for each latent.
        row_products: products with a row of D numbers that a firing latent takes in training: to
            decode, and for the gradients of its value, its decoder row and its encoder row. Nested
            losses also update residual and gradient of each truncation.
        buffers: names of the parameters that no gradient moves.
        arrays: bound on the arrays [B, M] that one seed takes at a time, without AuxK.
        static: whether `gradients` on a GPU is one sequence of operations that does not wait for
            numbers, whatever the data and `Step.done`: a CUDA graph can hold it.
    """

    config: SAEConfig
    k: int
    label: str = ""
    saelens: str = ""
    poolable: bool = False
    encoder_rows: bool = True
    row_products: int = 4
    buffers: tuple[str, ...] = ()
    arrays: int = 12
    static: bool = False

    def __init__(self, config: SAEConfig) -> None:
        cls = type(self)
        if cls.loss is Architecture.loss and cls.gradients is Architecture.gradients:
            raise ConfigError("sae.arch", config.arch, "a class that defines loss or gradients")
        self.config, self.k = config, config.k

    def encoder_multiply_adds(self, d_model: int) -> int:
        """Multiply-adds that encode a sample."""
        return d_model * self.config.size

    def init(self, d_model: int, seed: int) -> dict[str, Tensor]:
        """Parameters of one SAE at step 0, a function of the `init` seed alone: no seed axis."""
        return initial_params(self.config, d_model, seed)

    def start(self, params: dict[str, Tensor], x: Tensor) -> dict[str, Tensor]:
        """Parameters [S, ...] that depend on the first batch `x` [S, B, D], whose mean is b_dec."""
        return {}

    def encode(self, params: dict[str, Tensor], x: Tensor, *, half: bool = False) -> Code:
        """The code of `x` [S, B, D]; `half`: chosen by a bfloat16 matmul."""
        raise NotImplementedError

    def loss(self, params: dict[str, Tensor], x: Tensor) -> Tensor:
        """Loss of each SAE on `x` [S, B, D], [S]: differentiable, and no SAE in another's loss."""
        raise NotImplementedError

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], which is left alone as `params` are.

        By autograd of `loss`, without AuxK. An architecture may derive them by hand for speed.
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


def check_finite(field: str, values: Tensor, endless: bool = False) -> None:
    """Raise ConfigError for values that are not finite; an `endless` tensor may have infinity."""
    bad = values.isnan() if endless else ~values.isfinite()
    if n := int(bad.sum()):
        raise ConfigError(field, f"{n} NaN{'' if endless else ' or infinite'}", "finite numbers")


ARCHITECTURES: dict[str, type[Architecture]] = {}
"""Every architecture by its name in a config."""


def initial_params(config: SAEConfig, d_model: int, seed: int) -> dict[str, Tensor]:
    """Parameters of one SAE at step 0, a function of the `init` seed alone: no seed axis.

    Decoder rows are uniform on the sphere, the encoder is their transpose, biases are 0 (the
    trainer moves `b_dec` to the data).
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
