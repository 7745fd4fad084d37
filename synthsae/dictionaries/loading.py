"""Take SAEs in whatever form a user has them, and put them side by side."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.definitions import DEFAULTS, Definitions
from synthsae.dictionaries.files import Dictionary, of_stack, read
from synthsae.dictionaries.stacking import stacked
from synthsae.sae import SAEStack
from synthsae.scores.run import Dictionaries

SAE = str | Path | SAEStack | Dictionary | ArrayLike
"""One SAE, or several in one file or stack; an array is decoder rows, [M, D]."""


def load(
    saes: Dictionaries | SAE | Sequence[SAE],
    live: Path | ArrayLike | None = None,
    absolute: bool = False,
    definitions: Definitions = DEFAULTS,
) -> Dictionaries:
    """The SAEs side by side, for scores that need only their weights.

    Args:
        saes: a stack; a path; decoder rows, [S, M, D]; or a list of stacks, paths, dictionaries
            that `read` returned, and arrays of decoder rows, [M, D]. A `Dictionaries` is returned
            as it is, and the other arguments do not change it.
        live: as in `stacked`.
        absolute: as in `stacked`.
        definitions: as in `stacked`.

    Raises:
        ConfigError: an SAE cannot be read (`read`), or they cannot be compared (`stacked`).
    """
    if isinstance(saes, Dictionaries):
        return saes
    alone = isinstance(saes, str | Path | SAEStack | Dictionary)
    each: Any = [saes] if alone else saes
    found = [one for i, sae in enumerate(each) for one in _read(i, sae)]
    return stacked(found, live, absolute, definitions)


def _read(i: int, sae: SAE) -> list[Dictionary]:
    """The SAEs in item `i` of a list."""
    if isinstance(sae, Dictionary):
        return [sae]
    if isinstance(sae, SAEStack):
        return of_stack("stack", sae)
    if isinstance(sae, str | Path):
        return read(sae)
    return [Dictionary(f"SAE {i}", checks.array(f"saes[{i}]", sae, "[M, D]"), None)]
