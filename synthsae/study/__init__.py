"""Studies: the grid of configs, the files of results, the executors and the command line.

    python -m synthsae.study rank_sweep

A name is imported when it is first used. Importing this package is fast, so `python -m` can handle
Ctrl-C before the slow imports begin.
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
