"""Studies by name, or by file."""

import os
from importlib import import_module
from pathlib import Path

from synthsae import studies
from synthsae.checks import ConfigError, nearest
from synthsae.study.grid import Study
from synthsae.user_code import import_file


def names() -> list[str]:
    """The names of our own studies."""
    return sorted(path.parent.name for path in studies.FOLDER.glob("*/study.py"))


def load(source: str | os.PathLike[str] | None) -> Study:
    """The study of that name, or of that file: the same object for the same text."""
    own, source = names(), None if source is None else os.fspath(source)
    if source in own:
        module = import_module(f"{studies.__name__}.{source}.study")
    elif source and source.endswith(".py") and Path(source).is_file():
        module = import_file(Path(source))
    else:
        known = f"list, {', '.join(own)}, or a .py file that is there"
        raise ConfigError("study", source, known + nearest(source, ["list", *own]))
    if not isinstance(getattr(module, "study", None), Study):
        raise ConfigError("study", source, "a file that defines `study`, a synthsae.study.Study")
    return module.study
