"""Find a study by its name or by its file."""

import os
from importlib import import_module
from pathlib import Path

from synthsae import studies
from synthsae.checks import ConfigError, nearest
from synthsae.study.grid import Study
from synthsae.user_code import import_file


def names() -> list[str]:
    """Names of the studies that come with this package, sorted."""
    return sorted(path.parent.name for path in studies.FOLDER.glob("*/study.py"))


def load(source: str | os.PathLike[str] | None) -> Study:
    """The study called `source`, or defined in the file `source`.

    Returns:
        The same object at every call, as long as the file does not change.

    Raises:
        ConfigError: no such study, or a file that does not define one.
    """
    ours, source = names(), None if source is None else os.fspath(source)
    if source in ours:
        module = import_module(f"{studies.__name__}.{source}.study")
    elif source and source.endswith(".py") and Path(source).is_file():
        module = import_file(Path(source))
    else:
        known = f"list, {', '.join(ours)}, or an existing .py file"
        raise ConfigError("study", source, known + nearest(source, ["list", *ours]))
    if not isinstance(getattr(module, "study", None), Study):
        raise ConfigError("study", source, "a file that defines `study`, a synthsae.study.Study")
    return module.study
