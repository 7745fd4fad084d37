"""Old names that still work, with a DeprecationWarning, until version 0.3.

CONTRIBUTING.md has the rule for deprecations.
"""

import sys
import warnings
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

C = TypeVar("C", bound=type)

MODULES = {
    "synthsae.measures": "synthsae.scores",
    "synthsae.figures": "synthsae.plot",
    "synthsae.results": "synthsae.scores.run",
    "synthsae.needs": "synthsae.scores.needs",
    "synthsae.labels": "synthsae.scores.labels",
    "synthsae.evaluate": "synthsae.evaluation",
    "synthsae.agreement": "synthsae.seeds.consensus",
    "synthsae.pooling": "synthsae.seeds.pooling",
    "synthsae.ensembles": "synthsae.studies.pooling.ensembles",
    "synthsae.sources": "synthsae.config.sources",
    "synthsae.kinds": "synthsae.config.kinds",
    "synthsae.store": "synthsae.study.store",
    "synthsae.executors": "synthsae.study.executors",
    "synthsae.cli": "synthsae.study.cli",
    "realdata.measures": "realdata.scores",
}
"""Old module -> new module."""

_STUDIES = {
    "asymmetry": "latent_function",
    "atoms_sweep": "atom_recovery",
    "budget_sweep": "loose_subspace",
    "consensus": "consensus_lists",
    "hierarchical_budget": "at_budgets",
    "k_sweep": "planted_sparsity",
    "kron_correlation": "correlation_recovery",
    "law_sweep": "axis_recovery flatness",
    "pooling": "pools",
    "rank_sweep": "implied_rank",
    "seed_sources": "start_memory",
    "synthsaebench": "benchmark_scores",
    "transfer": "label_prediction",
}
MOVED = {
    ("synthsae.measures", name): f"synthsae.studies.{study}.scores:{name}"
    for study, names in _STUDIES.items()
    for name in names.split()
}
MOVED["synthsae.measures", "ideal_code"] = "synthsae.studies.asymmetry.ideal:ideal_code"
MOVED["synthsae.measures", "masking_by_class"] = (
    "synthsae.studies.asymmetry.masking:masking_by_class"
)
MOVED["synthsae.measures", "unions"] = "synthsae.studies.pooling.unions:unions"
MOVED["synthsae.results", "Measure"] = "synthsae.scores.run:Score"
"""(old module, name) -> "new module:name", for names that are not in the module's new place."""


def warn(old: str, new: str) -> None:
    """Warn that `old` is now called `new`; the warning points to the caller's caller."""
    text = f"{old} is now {new}; the old name goes with synthsae 0.3"
    warnings.warn(text, DeprecationWarning, stacklevel=3)


class _Alias(ModuleType):
    """An old module; callable if a function now has its name, as `evaluate` does."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **options)


class Aliases:
    """Finder and loader of the modules in `MODULES`; other finders come first.

    It does not use the base classes of `importlib.abc`: importing these loads modules of the
    standard library that a file in the working directory may shadow.
    """

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """Spec of the old module `fullname`, or None."""
        found: Any = self
        return ModuleSpec(fullname, found) if fullname in MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty module."""
        return _Alias(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Make the module look up every name in its new place."""
        old, new = module.__name__, MODULES[module.__name__]
        warn(old, new)

        def look_up(name: str) -> Any:
            home, _, attribute = MOVED.get((old, name), f"{new}:{name}").partition(":")
            if name.startswith("__") and name != "__all__":
                raise AttributeError(name)
            return getattr(import_module(home), attribute)

        module.__dict__["__getattr__"] = look_up


def install() -> None:
    """Make the old modules importable. Calling it again has no effect."""
    if not any(isinstance(finder, Aliases) for finder in sys.meta_path):
        finder: Any = Aliases()
        sys.meta_path.append(finder)


def renamed(old: str, new: str) -> "Callable[[C], C]":
    """Class decorator: a dataclass accepts its field `new` under the name `old`, too."""

    def change(cls: C) -> C:
        own = cls.__init__  # type: ignore[misc]

        def __init__(self: Any, *args: Any, **fields: Any) -> None:
            if old in fields:
                warn(f"{cls.__name__}({old}=...)", f"{new}=...")
                fields[new] = fields.pop(old)
            own(self, *args, **fields)

        def show(self: Any) -> Any:
            warn(f"{cls.__name__}.{old}", new)
            return getattr(self, new)

        cls.__init__ = __init__  # type: ignore[misc]
        setattr(cls, old, property(show))
        return cls

    return change
