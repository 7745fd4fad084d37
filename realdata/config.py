"""Where activations come from: a language model reading text, an array on disk, or a world."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path

import synthsae.config
from synthsae.checks import ConfigError, one_of, typed, within
from synthsae.train import ActivationSource

HOOKS = ("resid_pre", "resid_post", "attn_out", "mlp_out")
"""Sites of a block: the residual stream before and after it, and what attention and MLP add to it
(after the norm that follows them, where there is one)."""


@dataclass(frozen=True)
class SourceConfig:
    """Which activations, and how they are prepared. Without `model` and `arrays`: none.

    Documents are packed: BOS before each, one after another, cut into contexts that begin with BOS.
    """

    model: str = field(
        default="", metadata={"help": "language model: a hub name, or a local Hugging Face folder"}
    )
    layer: int = field(default=0, metadata={"help": "block of the model, from 0"})
    hook: str = field(default="resid_post", metadata={"help": f"site: {', '.join(HOOKS)}"})
    text: str = field(
        default="",
        metadata={
            "help": "a .txt (documents between blank lines), .jsonl, .json, .csv, .tsv or .parquet "
            "file, compressed or not, a folder of them, or a Hugging Face dataset"
        },
    )
    subset: str = field(default="", metadata={"help": "configuration of a dataset (none: default)"})
    split: str = field(default="train", metadata={"help": "split of a dataset"})
    column: str = field(
        default="text", metadata={"help": "where the text is in a row; a.b: in b of a"}
    )
    bad_rows: float = field(
        default=0.1,
        metadata={"help": "largest share of rows that may be left out for want of text"},
    )
    special_tokens: str = field(
        default="text",
        metadata={"help": "what special tokens that a text spells out are: text, or parse"},
    )
    tokens: int = field(
        default=1_000_000, metadata={"help": "activations to harvest, held-out ones included"}
    )
    context: int = field(default=128, metadata={"help": "tokens T in a context, BOS included"})
    batch: int = field(default=32, metadata={"help": "contexts in a forward pass"})
    dtype: str = field(default="float32", metadata={"help": "of the model: float32 or bfloat16"})
    device: str = field(default="auto", metadata={"help": "of the model: auto, cpu or cuda"})
    threads: int = field(
        default=1, metadata={"help": "cores that run the model, on a CPU; rounding depends on it"}
    )
    skip_bos: bool = field(
        default=True, metadata={"help": "leave out the positions where packing puts BOS"}
    )
    max_norm: float = field(
        default=10.0,
        metadata={"help": "leave out activations of more than so many median norms (0: keep all)"},
    )
    center: bool = field(default=True, metadata={"help": "subtract the mean"})
    scale: bool = field(default=True, metadata={"help": "bring the mean squared norm to D"})
    held_out: float = field(
        default=0.1, metadata={"help": "share of the documents that only evaluation sees"}
    )
    arrays: str = field(
        default="",
        metadata={
            "help": "activations at hand, [rows, D]: .npy, .safetensors (FILE:NAME where it has "
            "several tensors) or .zarr; the last `held_out` of the rows are held out"
        },
    )
    passes: float = field(
        default=1.0,
        metadata={
            "help": "passes over the training activations: sets train.n_steps (0: train.n_steps is "
            "as it says)"
        },
    )
    cache: str = field(
        default="",
        metadata={"help": "folder for harvests (none: SYNTHSAE_CACHE, or ~/.cache/synthsae)"},
    )
    cache_limit: float = field(default=50.0, metadata={"help": "GiB that one harvest may take"})

    def __post_init__(self) -> None:
        typed("source.", self)
        one_of("source.hook", self.hook, HOOKS)
        one_of("source.dtype", self.dtype, ("float32", "bfloat16"))
        one_of("source.device", self.device, ("auto", "cpu", "cuda"))
        one_of("source.special_tokens", self.special_tokens, ("text", "parse"))
        within("source.bad_rows", self.bad_rows, 0, 1)
        within("source.layer", self.layer, 0)
        within("source.tokens", self.tokens, 2)
        within("source.context", self.context, 2)
        within("source.batch", self.batch, 1)
        within("source.threads", self.threads, 1)
        within("source.max_norm", self.max_norm, 0)
        within("source.held_out", self.held_out, 0, 0.9, strict=True)
        within("source.passes", self.passes, 0)
        within("source.cache_limit", self.cache_limit, 0, strict=True)
        if self.model and self.arrays:
            raise ConfigError("source.arrays", self.arrays, "none beside source.model")
        if self.model and not self.text:
            raise ConfigError("source.text", self.text, "a file of text, or a dataset")

    @property
    def n_eval(self) -> int:
        """Activations held out."""
        return min(max(1, round(self.n_rows * self.held_out)), self.n_rows - 1)

    @property
    def n_train(self) -> int:
        """Activations to train on, before extreme norms are left out."""
        return self.n_rows - self.n_eval

    @property
    def n_rows(self) -> int:
        """All activations."""
        if not self.arrays:
            return self.tokens
        from realdata.arrays import shape

        return shape(self.arrays)[0]


@dataclass(frozen=True)
class Config(synthsae.config.Config):
    """A cell on the activations of `source`; on the planted world where `source` names none."""

    source: SourceConfig = field(default_factory=SourceConfig)

    def __post_init__(self) -> None:
        if not self.planted:
            self._check_source()
        super().__post_init__()

    def _check_source(self) -> None:
        """What can be known of the source without reading it; sets the number of steps."""
        s = self.source
        if s.model:
            from realdata.hub import facts

            known = facts(s.model)
            within("source.layer", s.layer, 0, known.n_layers - 1)
            within("source.context", s.context, 2, known.max_context)
        if self.eval_samples > s.n_eval:
            allowed = f"at most {s.n_eval}, the activations held out (source.held_out of them all)"
            raise ConfigError("eval_samples", self.eval_samples, allowed)
        if s.passes:
            n = int(s.passes * s.n_train // self.train.batch_size)
            if n == 0:
                rows = f"{s.n_train} rows times passes are fewer than train.batch_size"
                allowed = f"enough for a step: {rows}, {self.train.batch_size}"
                raise ConfigError("source.passes", s.passes, allowed)
            object.__setattr__(self, "train", replace(self.train, n_steps=n))

    @property
    def planted(self) -> bool:
        """Whether the activations are those of `world`, so that the truth is known."""
        return not (self.source.model or self.source.arrays)

    @property
    def decided(self) -> Mapping[str, str]:
        """The number of steps, where it follows from the passes over a source; without a source,
        all that would say more about it.
        """
        if self.planted:
            text = "nothing without source.model or source.arrays: a planted world has no"
            names = {f.name for f in fields(self.source)} - {"model", "arrays"}
            return {f"source.{name}": f"{text} {name}" for name in names}
        if not self.source.passes:
            return {}
        n, passes = self.train.n_steps, self.source.passes
        return {"train.n_steps": f"the {n} of source.passes={passes}, or source.passes=0 beside it"}

    @property
    def reaches(self) -> tuple[type, ...]:
        """The classes whose code a training depends on; of a planted world not the readers."""
        return super().reaches if self.planted else (type(self),)

    @property
    def d_model(self) -> int:
        """Dimension D of an activation; of a model without loading its weights."""
        if self.source.model:
            from realdata.hub import facts

            return facts(self.source.model).d_model
        if self.source.arrays:
            from realdata.arrays import shape

            return shape(self.source.arrays)[1]
        return super().d_model

    def open(self) -> ActivationSource:
        """The world, or the reader of the harvest, which is made where it is not there yet."""
        if self.planted:
            return super().open()
        from realdata.activations import Activations

        found = Activations.open(self.source)
        if self.eval_samples > found.n_eval:
            allowed = f"at most {found.n_eval}, the held-out activations that the cut leaves"
            raise ConfigError("eval_samples", self.eval_samples, allowed)
        return found

    def to_json(self) -> str:
        """All fields that determine a number, and hashes of the model and of the text."""
        if self.planted:
            return super().to_json()
        from realdata.identity import identity

        found = asdict(self)
        for name in ("cache", "cache_limit", "bad_rows"):
            found["source"].pop(name)
        found["source"]["identity"] = identity(self.source)
        return json.dumps(found, sort_keys=True)


def cache_folder(source: SourceConfig) -> Path:
    """The folder of all harvests."""
    import os

    named = source.cache or os.environ.get("SYNTHSAE_CACHE") or "~/.cache/synthsae"
    try:
        return Path(named).expanduser()
    except RuntimeError as error:  # no home directory
        raise ConfigError("source.cache", named, f"a folder that is there ({error})") from error
