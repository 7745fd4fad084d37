"""SAEs on activations of language models and of arrays on disk, and comparisons of SAEs on disk.

- `Activations.open(SourceConfig(...))` harvests the activations of a model once, or opens an
  array, and returns a source that `synthsae.train.train` takes. `Activations.normal.fold` makes
  the trained SAEs work on the activations as they are in the model.
- `scores` has the scores that need the text, such as `scores.spliced_loss`.
- `compare.compare` compares SAEs that `synthsae.dictionaries` has read.

Studies need none of these: a config that names a source (`--model`, `source.arrays`) is enough.
Each name is imported when it is first used, so that `import realdata` loads nothing heavy.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from synthsae import deprecated

if TYPE_CHECKING:
    from realdata import compare, scores
    from realdata.activations import Activations

__all__ = ["Activations", "compare", "scores"]

deprecated.install()


def __getattr__(name: str) -> Any:
    if name == "Activations":
        return import_module("realdata.activations").Activations
    if name in __all__ or f"realdata.{name}" in deprecated.MODULES:
        return import_module(f"realdata.{name}")
    raise AttributeError(f"module 'realdata' has no attribute {name!r}")
