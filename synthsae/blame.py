"""An exception in one line, with the place of the user's own code that raised it."""

import sysconfig
from collections.abc import Iterator
from pathlib import Path
from traceback import walk_tb

from synthsae.checks import ConfigError

ROOT = Path(__file__).resolve().parent.parent
OURS = tuple(str(ROOT / package) for package in ("synthsae", "realdata"))
INSTALLED = tuple(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib"))
MEANT = (ConfigError, FloatingPointError)
"""What we raise on purpose, and what needs no place beside its text."""


def in_a_line(error: BaseException) -> str:
    """The type and the text of `error`, and the file and line to look at."""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
    text = " ".join(f"{kind}{said}".split()).removesuffix(":")
    at = place(error)
    return f"{text} ({at})" if at else text


def place(error: BaseException) -> str:
    """FILE:LINE of the last frame that is neither ours nor of an installed package, or of the last
    one where all are, unless we raised `error` on purpose: then "".
    """
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    frames = list(_frames(error))
    own = [(file, line) for file, line in frames if not _library(file)]
    shown = own or ([] if isinstance(error, MEANT) else frames)
    return f"{shown[-1][0]}:{shown[-1][1]}" if shown else ""


def _frames(error: BaseException) -> Iterator[tuple[str, int]]:
    for frame, line in walk_tb(error.__traceback__):
        yield frame.f_code.co_filename, line


def _library(file: str) -> bool:
    parts = Path(file).parts
    installed = "site-packages" in parts or "dist-packages" in parts
    return installed or file.startswith((*OURS, *INSTALLED, "<"))
