"""The command line: python -m synthsae.study NAME --set FIELD=VALUE."""

import argparse
import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

import studies
from synthsae.checks import ConfigError
from synthsae.config import Config, describe
from synthsae.store import DamagedError, Store, open_results
from synthsae.study import Study, plan, present, run

ALIASES = {
    "--seeds": "n_seeds",
    "--world-seed": "world_seed",
    "--device": "train.device",
}
"""Short flags and the config fields that they set."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a study; the exit status is 0, 1 where a cell failed, 2 for bad input, 130 at Ctrl-C."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if args.help:
            base = load(args.study).base if args.study not in (None, "list") else Config()
            print(f"{parser.format_help()}\n{field_help(base)}")
            return 0
        return _main(args)
    except ConfigError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; finished cells are kept, the same command goes on", file=sys.stderr)
        return 130


def _main(args: argparse.Namespace) -> int:
    if args.study == "list":
        for name in names():
            print(f"{name:16s} {load(name).question}")
        return 0
    study, name = load(args.study), Path(args.study or "").stem
    if args.figures_only:
        if args.quick or changes(args):
            raise ConfigError("--figures-only", name, "no --quick and no field beside it")
        try:
            open_results(name, args.out)
        except (FileNotFoundError, DamagedError) as error:
            raise ConfigError("--figures-only", name, str(error)) from error
        present(name, study, Store(args.out, name))
        return 0
    grid = plan(study, changes(args), quick=args.quick)
    return 1 if run(name, study, grid, args.out) else 0


def names() -> list[str]:
    """The studies that are installed."""
    return sorted(m.name for m in pkgutil.iter_modules(studies.__path__))


def load(name: str | None) -> Study:
    """The study of that name, or of that file."""
    if name in names():
        module = importlib.import_module(f"studies.{name}")
    elif name and name.endswith(".py") and Path(name).is_file():
        module = _import_file(Path(name))
    else:
        raise ConfigError("study", name, f"list, {', '.join(names())}, or a .py file")
    if not isinstance(getattr(module, "study", None), Study):
        raise ConfigError("study", name, "a file that defines `study`, a synthsae.study.Study")
    return module.study


def _import_file(path: Path) -> ModuleType:
    """Run a study file of the user's own."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the file raises
        why = f"{type(error).__name__}: {error}".replace("\n", " ")
        raise ConfigError("study", str(path), f"a file that can be imported ({why})") from error
    return module


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line sets: field -> text, or a list of texts for an axis."""
    pairs = [(field, getattr(args, field)) for field in ALIASES.values()]
    pairs += [_assignment(text) for text in args.set]
    texts = {field: text for field, text in pairs if text is not None}
    return {field: t.split(",") if "," in t else t for field, t in texts.items()}


def field_help(base: Config) -> str:
    """Every field that --set knows, with its default and what it means."""
    rows = [f"  {name:22s} {value!s:12s} {text}" for name, value, text in describe(base)]
    return "\n".join(["fields, with the default of the study:", *rows])


def _assignment(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError("--set", text, "FIELD=VALUE")
    return name.strip(), value


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="synthsae.study", add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add("study", nargs="?", help=f"list, {', '.join(names())}, or the path of a study file")
    add("-h", "--help", action="store_true", help="show this, and every field of the config")
    add("--quick", action="store_true", help="a small version, in seconds")
    add("--out", type=Path, default=Path("results"), metavar="DIR", help="results (./results)")
    add("--figures-only", action="store_true", help="draw the saved Dataset again")
    add(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE[,VALUE]",
        help="set a field; a comma list makes it an axis and a dimension; repeatable",
    )
    for flag, name in ALIASES.items():
        add(flag, dest=name, metavar="VALUE", help=f"the same as --set {name}=VALUE")
    return parser
