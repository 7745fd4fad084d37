"""Names of the first edition, kept for one release: each still works, with a DeprecationWarning.

Deleted with version 0.3. The rule is in CONTRIBUTING.md.
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
    "realdata.dictionaries": "realdata.saes",
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
"""(old module, name in it) -> "module:name", for names that did not go where their module went."""


def warn(old: str, new: str) -> None:
    """Say that `old` is now called `new`; the place shown is the caller's."""
    text = f"{old} is now {new}; the old name goes with synthsae 0.3"
    warnings.warn(text, DeprecationWarning, stacklevel=3)


class _Alias(ModuleType):
    """A module that can be called where its name is now that of a function: `evaluate`."""

    def __call__(self, *args: Any, **options: Any) -> Any:
        return getattr(self, self.__name__.rpartition(".")[2])(*args, **options)


class Aliases:
    """Finds the modules of `MODULES`, once nothing else has found one of that name.

    Without the base classes of `importlib.abc`: their import takes modules of the standard library
    whose names a file in the working directory may have.
    """

    def find_spec(self, fullname: str, *_: object) -> ModuleSpec | None:
        """The alias `fullname`, or None."""
        found: Any = self
        return ModuleSpec(fullname, found) if fullname in MODULES else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module, empty."""
        return _Alias(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Let every name of the alias be looked up where it is now."""
        old, new = module.__name__, MODULES[module.__name__]
        warn(old, new)

        def look_up(name: str) -> Any:
            home, _, attribute = MOVED.get((old, name), f"{new}:{name}").partition(":")
            if name.startswith("__") and name != "__all__":
                raise AttributeError(name)
            return getattr(import_module(home), attribute)

        module.__dict__["__getattr__"] = look_up


def install() -> None:
    """Make the old modules importable."""
    if not any(isinstance(finder, Aliases) for finder in sys.meta_path):
        finder: Any = Aliases()
        sys.meta_path.append(finder)


def renamed(old: str, new: str) -> "Callable[[C], C]":
    """Let a dataclass take and show the field `new` under its old name, too."""

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
