"""Studies: a grid of configs, what is kept of it, what runs it, and the command line.

    python -m synthsae.study rank_sweep

Names are imported when they are first used, so that Ctrl-C is quiet from the first moment.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from synthsae.study.api import run
    from synthsae.study.cli import main
    from synthsae.study.find import load, names
    from synthsae.study.grid import Grid, Study, plan
    from synthsae.study.store import open_results

__all__ = ["Grid", "Study", "load", "main", "names", "open_results", "plan", "run"]

_HOME = {
    "Grid": "grid",
    "Study": "grid",
    "load": "find",
    "main": "cli",
    "names": "find",
    "open_results": "store",
    "plan": "grid",
    "run": "api",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'synthsae.study' has no attribute {name!r}")
    return getattr(import_module(f"synthsae.study.{_HOME[name]}"), name)
