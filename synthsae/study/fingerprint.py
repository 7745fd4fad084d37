"""Fingerprints of code: hashes of all definitions that some functions and classes use.

Starting from these roots, names are followed from definition to definition, through imports, inside
our own packages and a user's own files. A method is included once its class is reached and its name
is used as an attribute. Comments, docstrings, formatting and annotations of arguments are ignored.
What code looks up by a string, as in a registry, is not found: pass it as a root of its own.
"""

import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from synthsae.checks import ConfigError
from synthsae.study.code_walk import Modules, Parsed, Read, Walk, hash_of
from synthsae.user_code import LOCK

OURS = ("synthsae", "realdata")
"""Packages whose code is followed. For other packages versions are recorded (`provenance`)."""
APART = ("synthsae.progress", "synthsae.deprecated", "synthsae.guard")
"""Modules that are not followed: no number depends on progress bars, old names or the guard."""

STANDARD = tuple(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib"))


@dataclass(frozen=True)
class Fingerprint:
    """Hashes of code, from which one can see which definitions have changed.

    Attributes:
        parts: "module:name" of a definition -> hash of its text.
    """

    parts: dict[str, str]

    @cached_property
    def digest(self) -> str:
        """Hash of all parts, 16 hexadecimal digits."""
        return hash_of("\0".join(f"{name}\0{part}" for name, part in sorted(self.parts.items())))

    def without(self, module: str) -> "Fingerprint":
        """This fingerprint without the definitions of one module."""
        kept = {n: p for n, p in self.parts.items() if n.partition(":")[0] != module}
        return Fingerprint(kept)

    def changed(self, before: "Fingerprint | dict[str, str]") -> list[str]:
        """Names of definitions that differ from `before`: changed, new or removed."""
        old = before.parts if isinstance(before, Fingerprint) else before
        names = sorted(self.parts.keys() | old.keys())
        return [name for name in names if self.parts.get(name) != old.get(name)]


@cache
def fingerprint(*roots: Any) -> Fingerprint:
    """The fingerprint of the code that these functions and classes use.

    Args:
        *roots: functions or classes at the top level of a module, or their names "module:name".

    Raises:
        ConfigError: a root is not at the top level of a .py file.

    Results are cached by root; a function that is defined again is another root.
    """
    with LOCK:
        walk = Walk(Modules(source, OURS, _parsed()))
        return Fingerprint(walk.run([_name(root) for root in roots]))


def fingerprint_of(names: Sequence[str], read: Read) -> Fingerprint:
    """The fingerprint of roots "module:name", with modules whose text `read` returns."""
    return Fingerprint(Walk(Modules(read, OURS)).run(names))


def source(module: str) -> str | None:
    """Text of a module of ours, or of a user's file as it was imported; None for other modules."""
    if module in APART:
        return None
    if module.partition(".")[0] in OURS:
        found = importlib.util.find_spec(module)
        path = found and found.origin
        return Path(path).read_text(encoding="utf-8") if path and path.endswith(".py") else None
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if loaded is None or file is None or _is_library(file):
        return None
    return inspect.getsource(loaded)


@cache
def _parsed() -> Parsed:
    """Our own modules, parsed when first needed: their text stays the same in a running process."""
    return {}


def _name(root: Any) -> str:
    """The name "module:name" of a root."""
    if isinstance(root, str):
        return root
    try:
        module, name = root.__module__, root.__qualname__
        if getattr(sys.modules[module], name, None) is root and source(module) is not None:
            return f"{module}:{name}"
    except (AttributeError, OSError, TypeError, KeyError):
        pass
    raise ConfigError("score", root, "a function at the top of a .py file")


def _is_library(file: str) -> bool:
    """Whether a file belongs to Python's standard library or to an installed package."""
    installed = {"site-packages", "dist-packages"} & set(Path(file).parts)
    return bool(installed) or file.startswith(STANDARD)
