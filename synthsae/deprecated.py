"""Old names that still work, with a DeprecationWarning, until version 0.3.

CONTRIBUTING.md has the rule for deprecations.
"""

import sys
import warnings
from functools import partial, reduce
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
    "realdata.dictionaries": "synthsae.dictionaries",
    "realdata.saes": "synthsae.dictionaries",
    "realdata.shuffle": "synthsae.train.shuffle",
}
"""Old module -> new module."""

_STUDIES = {
    "asymmetry": "latent_function",
    "atoms_sweep": "atom_recovery",
    "consensus": "consensus_lists",
    "hierarchical_budget": "at_budgets",
    "k_sweep": "planted_sparsity",
    "kron_correlation": "correlation_recovery",
    "law_sweep": "flatness",
    "pooling": "pools",
    "rank_sweep": "implied_rank",
    "synthsaebench": "benchmark_scores",
    "transfer": "label_prediction",
}
MOVED = {
    ("synthsae.measures", name): f"synthsae.studies.{study}.scores:{name}"
    for study, names in _STUDIES.items()
    for name in names.split()
}
MOVED["synthsae.measures", "loose_subspace"] = (
    "synthsae.studies.budget_sweep.scores:not_stable_subspace"
)
MOVED["synthsae.measures", "start_memory"] = (
    "synthsae.studies.seed_sources.scores:cosine_with_start"
)
MOVED["synthsae.measures", "ideal_code"] = "synthsae.studies.asymmetry.ideal:ideal_code"
MOVED["synthsae.measures", "masking_by_class"] = (
    "synthsae.studies.asymmetry.masking:masking_by_class"
)
MOVED["synthsae.measures", "unions"] = "synthsae.studies.pooling.unions:unions"
MOVED["synthsae.measures", "axis_recovery"] = "synthsae.scores:axis_recovery"
MOVED["synthsae.results", "Measure"] = "synthsae.scores.run:Score"
"""(old module, name) -> "new module:name", for names that are not in the module's new place."""


OPTIONS = {
    "coefficient": "coefficient",
    "matryoshka_prefixes": "prefixes",
    "kron_heads": "heads",
    "kron_m": "m",
    "kron_n": "n",
}
"""Old field of SAEConfig -> option of the architectures that have it."""

STEP = {
    "done": "training_done",
    "half": "bfloat16_selection",
    "share": "step_fraction",
    "room": "max_dead",
}
"""Old attribute of a Step -> new attribute."""


def warn(old: str, new: str, level: int = 3) -> None:
    """Warn that `old` is now called `new`; the warning names the line that is `level` calls up."""
    text = f"{old} is now {new}; the old name goes with synthsae 0.3"
    warnings.warn(text, DeprecationWarning, stacklevel=level)


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


def old_attributes(table: "Mapping[str, str]") -> "Callable[[C], C]":
    """Let a class show its attributes under old names: old -> new, which may be dotted."""

    def change(cls: C) -> C:
        for old, new in table.items():
            setattr(cls, old, property(partial(_show, old, new)))
        return cls

    return change


def _show(old: str, new: str, owner: Any) -> Any:
    """The attribute `new`; None where the architecture does not have that option."""
    warn(f"{type(owner).__name__}.{old}", new)
    return reduce(lambda value, name: getattr(value, name, None), new.split("."), owner)


def takes_old_options(cls: C) -> C:
    """Let SAEConfig take options as fields, as in 0.1: without effect where `arch` lacks them."""
    from dataclasses import fields, replace  # not when `synthsae` is imported

    own = cls.__init__  # type: ignore[misc]

    def __init__(self: Any, *args: Any, **given: Any) -> None:
        old = {name: given.pop(name) for name in OPTIONS if name in given}
        own(self, *args, **given)
        known = {f.name for f in fields(self.options)} if old else set()
        for name in old:
            lacking = "" if OPTIONS[name] in known else f", which {self.arch} lacks and ignores"
            warn(f"{cls.__name__}({name}=...)", f"options.{OPTIONS[name]}{lacking}")
        if changed := {OPTIONS[n]: v for n, v in old.items() if OPTIONS[n] in known}:
            object.__setattr__(self, "options", replace(self.options, **changed))
            self.__post_init__()

    cls.__init__ = __init__  # type: ignore[misc]
    return cls


def current_names(changes: "Mapping[str, Any]") -> dict[str, Any]:
    """Changes of a config by dotted name, with the new names of old fields."""
    found = {}
    for name, value in changes.items():
        found[new := current_name(name)] = value
        if new != name:
            warn(name, new, 4)  # the caller of `override`
    return found


def current_name(name: str) -> str:
    """The dotted name that a field has now."""
    section, _, field = name.rpartition(".")
    return f"sae.options.{OPTIONS[field]}" if section == "sae" and field in OPTIONS else name


def as_hashed(sae: "Mapping[str, Any]") -> dict[str, Any]:
    """A recorded SAEConfig as hashes take it: with the fields of 0.1, so that hashes stay."""
    options = dict(sae["options"])
    old = {name: options.pop(new, None) for name, new in OPTIONS.items()}
    found = {name: value for name, value in sae.items() if name != "options"} | old
    return found | ({"options": options} if options else {})
