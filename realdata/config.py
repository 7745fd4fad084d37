"""The kinds of sources that `realdata` adds: a language model reading text, an array on disk."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from realdata.arrays import shape
from realdata.rows import n_eval, n_train
from synthsae.checks import ConfigError, within
from synthsae.config.kinds import Kind, register
from synthsae.config.sources import SourceConfig as _SourceConfig
from synthsae.deprecated import warn

if TYPE_CHECKING:
    from realdata.activations import Activations

WITHOUT_EFFECT = ("cache", "cache_limit", "bad_rows")
"""Fields on which no result depends."""


class OnDisk(Kind):
    """Activations on disk, of which a share is held out for evaluation."""

    def check(self) -> None:
        """Raise ConfigError for more held-out rows than there are, and for less than a step."""
        config, s = self.config, self.config.source
        if config.eval_samples > n_eval(s):
            allowed = f"at most {n_eval(s)}, the number of held-out activations (source.held_out)"
            raise ConfigError("eval_samples", config.eval_samples, allowed)
        if s.passes and self.n_steps == 0:
            size = config.train.batch_size
            rows = f"{n_train(s)} rows times passes are fewer than train.batch_size"
            raise ConfigError("source.passes", s.passes, f"enough for a step: {rows}, {size}")

    @property
    def n_steps(self) -> int:
        """Number of training steps, by the passes over the rows unless `passes` is 0."""
        source, train = self.config.source, self.config.train
        if not source.passes:
            return train.n_steps
        return int(source.passes * n_train(source) // train.batch_size)

    @property
    def decided(self) -> Mapping[str, str]:
        """The number of steps, where it follows from the passes over the rows."""
        if not (passes := self.config.source.passes):
            return {}
        text = f"the {self.n_steps} of source.passes={passes}, or source.passes=0 beside it"
        return {"train.n_steps": text}

    @property
    def identity(self) -> dict[str, Any]:
        """The fields that determine results, and the hashes of model and text, or of the array."""
        from realdata.cache import identity_of

        fields = {name: v for name, v in self.fields.items() if name not in WITHOUT_EFFECT}
        return fields | {"identity": identity_of(self.config.source)}

    def open(self) -> "Activations":
        """The activations, harvested where they are not cached yet. Raises ConfigError."""
        from realdata.activations import Activations

        found, asked = Activations.open(self.config.source), self.config.eval_samples
        if asked > found.n_eval:
            allowed = f"at most {found.n_eval}, the held-out activations within source.max_norm"
            raise ConfigError("eval_samples", asked, allowed)
        return found


@register("model")
class OfModel(OnDisk):
    """Activations of a language model on a text."""

    what = "a model"

    def check(self) -> None:
        """Raise ConfigError for a layer or a context length that the model does not have."""
        from realdata.hub import facts

        source, known = self.config.source, facts(self.config.source.model)
        within("source.layer", source.layer, 0, known.n_layers - 1)
        within("source.context", source.context, 2, known.max_context)
        super().check()

    @property
    def d_model(self) -> int:
        """Dimension D of an activation, without loading the weights."""
        from realdata.hub import facts

        return facts(self.config.source.model).d_model


@register("arrays")
class OfArrays(OnDisk):
    """Activations in a file."""

    what = "an array"

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return shape(self.config.source.arrays)[1]


def __getattr__(name: str) -> Any:
    if name != "SourceConfig":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    warn(f"{__name__}.SourceConfig", "synthsae.config.SourceConfig")
    return _SourceConfig
