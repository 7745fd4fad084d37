"""The section `source` of a config: which activation source is used."""

from dataclasses import dataclass, field

from synthsae.checks import ConfigError, one_of, typed, within

NAMING = ("model", "arrays", "file")
"""Fields that name a source; at most one is set. Each is a kind (`synthsae.config.kinds`)."""

HOOKS = ("resid_pre", "resid_post", "attn_out", "mlp_out")
"""Sites of a transformer block: the residual stream before and after the block, and the outputs of
attention and MLP that are added to it (after a norm that follows them, if the model has one)."""


@dataclass(frozen=True)
class SourceConfig:
    """The activation source: a language model on text, arrays, or a user's class.

    If no field of `NAMING` is set, activations come from the planted world. `FIELDS` lists the
    fields that each kind uses. Documents of text are packed: they follow each other, each after a
    BOS token, and are split into contexts that begin with BOS.
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
    file: str = field(
        default="",
        metadata={"help": "a source of one's own: FILE.py:CLASS, an ActivationSource"},
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
        for name in NAMING[NAMING.index(self.kind) + 1 :] if self.kind != "world" else ():
            if value := getattr(self, name):
                raise ConfigError(f"source.{name}", value, f"none beside source.{self.kind}")
        if self.model and not self.text:
            raise ConfigError("source.text", self.text, "a file of text, or a dataset")

    @property
    def kind(self) -> str:
        """The kind of source: the field of `NAMING` that is set, or `world`."""
        return next((name for name in NAMING if getattr(self, name)), "world")


ROWS = ("max_norm", "center", "scale", "held_out", "passes", "cache", "cache_limit")
TEXT = ("layer", "hook", "text", "subset", "split", "column", "bad_rows", "special_tokens")
HOW = ("tokens", "context", "batch", "dtype", "device", "threads", "skip_bos")
FIELDS: dict[str, tuple[str, ...]] = {"world": (), "arrays": ROWS, "file": ()}
FIELDS["model"] = (*TEXT, *HOW, *ROWS)
"""Fields of `source` that each kind uses, besides the one that names the source."""
