"""Import a user's Python files, and say where in them an exception was raised.

A file is imported under a name of ours, so that a study called `queue.py` does not replace the
standard library's `queue`. Modules in the folder of the file are found after all others.
"""

import ast
import hashlib
import importlib
import importlib.util
import linecache
import os
import re
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from threading import RLock
from traceback import walk_tb
from types import ModuleType

from synthsae.checks import ConfigError

ROOT = Path(__file__).resolve().parent.parent
OURS = tuple(str(ROOT / package) for package in ("synthsae", "realdata"))
INSTALLED = tuple(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib"))
MEANT = (ConfigError, FloatingPointError)
"""Exceptions that we raise on purpose; their message needs no file and line."""

PREFIX = "synthsae_study_"
BESIDE = "realdata"
"""The package that is installed with this one."""

LOCK = RLock()
"""Held while files are parsed: Python 3.11 cannot parse in two threads at once."""
_made: dict[str, dict[Path, bytes]] = {}
"""Name of a user's module -> its files and their content when it was imported."""
_beside: dict[str, tuple[Path, bytes]] = {}
"""Module imported from the folder of a user's file -> its file and the content then."""

_folders: list[str] = []
"""Folders of the files imported so far, newest first; they are the end of `sys.path`."""


def import_file(path: Path, field: str = "study") -> ModuleType:
    """Import a user's file; import it again if it or a module in its folder has changed.

    Raises ConfigError with field `field`, file and line if the file cannot be imported.
    """
    path = path.resolve()
    name = f"{PREFIX}{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}_{path.stem}"
    try:
        with LOCK:
            texts = texts_of(path)
            if _made.get(name) != texts:
                _made.pop(name, None)
                _prepare_imports(path.parent, texts)
                _run(name, path, texts[path])
                _made[name] = texts
                _beside.update(_imported_from(texts))
            return sys.modules[name]
    except (Exception, SystemExit) as error:  # whatever the file raises
        why = f"a file that can be imported ({in_a_line(error)})"
        raise ConfigError(field, str(path), why) from error


def stable_name(module: str) -> str:
    """Name of a module for hashes: that of a user's file is its stem, in whatever folder it is."""
    return re.sub(rf"^{PREFIX}[0-9a-f]{{8}}_", "", module)


def texts_of(path: Path) -> dict[Path, bytes]:
    """Content of a file and of the modules in its folder that it imports, directly or not."""
    found: dict[Path, bytes] = {}
    todo = [path]
    while todo:
        file = todo.pop(0)
        if file in found:
            continue
        found[file] = file.read_bytes()
        for top in sorted(_imported(found[file])):
            package = sorted((path.parent / top).rglob("*.py"))
            todo += [f for f in (path.parent / f"{top}.py", *package) if f.is_file()]
    return found


def _imported(data: bytes) -> set[str]:
    """Top-level packages that a file imports and that may be in its folder."""
    try:
        tree = ast.parse(data)
    except (SyntaxError, ValueError):  # reported when the file is run
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    tops = {name.partition(".")[0] for name in names}
    return tops - sys.stdlib_module_names - {"synthsae", BESIDE}


def _prepare_imports(folder: Path, texts: dict[Path, bytes]) -> None:
    """Let a file in `folder` import our packages and the current modules of that folder."""
    _place(BESIDE)
    if str(folder) not in sys.path or str(folder) in _folders:
        _folders[:] = [str(folder), *(other for other in _folders if other != str(folder))]
        # at the end: nothing there hides another module
        sys.path[:] = [*(other for other in sys.path if other not in _folders), *_folders]
    importlib.invalidate_caches()
    tops = {top for data in texts.values() for top in _imported(data)}
    known = {name: entry for name, entry in _beside.items() if name.partition(".")[0] in tops}
    if any(texts.get(file) != data for file, data in known.values()):
        for name in known:
            sys.modules.pop(name, None)
            del _beside[name]


def _place(package: str) -> None:
    """Import our package of that name, even if the working directory has one of the same name."""
    folder = ROOT / package
    if package in sys.modules or not folder.is_dir():
        return
    spec = importlib.util.spec_from_file_location(
        package, folder / "__init__.py", submodule_search_locations=[str(folder)]
    )
    assert spec is not None
    assert spec.loader is not None
    sys.modules[package] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(sys.modules[package])


def _run(name: str, path: Path, data: bytes) -> None:
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module
    text = importlib.util.decode_source(data)  # handles line ends, a BOM and a declared encoding
    lines = text.splitlines(keepends=True)
    linecache.cache[str(path)] = (len(text), None, lines, str(path))  # for `inspect`
    exec(compile(text, str(path), "exec"), module.__dict__)


def _imported_from(texts: dict[Path, bytes]) -> Iterator[tuple[str, tuple[Path, bytes]]]:
    """Yield (module name, (file, content)) of the files that are imported, without the study."""
    for name, module in list(sys.modules.items()):
        file = Path(getattr(module, "__file__", None) or "")
        if file in texts and not name.startswith(PREFIX):
            yield name, (file, texts[file])


def in_a_line(error: BaseException) -> str:
    """Type, message, file and line of `error`, in one line."""
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    kind = "" if isinstance(error, ConfigError) else f"{type(error).__name__}: "
    text = " ".join(f"{kind}{said}".split()).removesuffix(":")
    at = place(error)
    return f"{text} ({at})" if at else text


def place(error: BaseException) -> str:
    """FILE:LINE of the innermost frame in a user's file.

    Without such a frame, the innermost frame of all; "" if we raised `error` on purpose (`MEANT`).
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
