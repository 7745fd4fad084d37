"""The command line: python -m synthsae.study NAME --set FIELD=VALUE."""

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from synthsae.checks import ConfigError, one_of
from synthsae.config import Config, describe
from synthsae.executors import Processes, dask
from synthsae.run import present, run
from synthsae.store import DamagedError, FormatError, Store, open_results
from synthsae.study import Grid, Study, load, names, plan
from synthsae.world import PRESETS

ALIASES = {
    "--seeds": "n_seeds",
    "--world-seed": "world_seed",
    "--device": "train.device",
    "--n-latents": "sae.n_latents",
    "--k": "sae.k",
    "--model": "source.model",
    "--layer": "source.layer",
    "--hook": "source.hook",
    "--text": "source.text",
    "--tokens": "source.tokens",
}
"""Short flags and the config fields that they set; `source` is for studies that take a model."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def main(argv: Sequence[str] | None = None) -> int:
    """Run a study; the exit status is 0, 1 where a cell failed, 2 for bad input, 130 at Ctrl-C."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        if args.help:
            base = chosen(args).base if args.study not in (None, "list") else Config()
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
            print(f"{name:20s} {load(name).question}")
        return 0
    study, name = chosen(args), Path(args.study or "").stem
    if args.figures_only:
        if args.quick or args.world or changes(args):
            raise ConfigError("--figures-only", name, "no --quick, world or field beside it")
        try:
            open_results(name, args.out)
        except (FileNotFoundError, DamagedError, FormatError) as error:
            raise ConfigError("--figures-only", name, str(error)) from error
        store = Store(args.out, name)
        with store.hold():
            present(study, store)
        return 0
    grid = plan(study, changes(args), quick=args.quick, here=args.dask is None)
    with executor(args, grid) as workers:
        return 1 if run(args.study, study, grid, args.out, workers, args.keep_saes) else 0


def chosen(args: argparse.Namespace) -> Study:
    """The study asked for, on the world asked for."""
    study = load(args.study)
    if args.world is None:
        return study
    one_of("--world", args.world, PRESETS)
    return replace(study, base=replace(study.base, world=PRESETS[args.world]))


def executor(args: argparse.Namespace, grid: Grid) -> AbstractContextManager[Executor | None]:
    """Where the cells run: in this process unless an option says otherwise."""
    if args.dask is not None and args.workers is not None:
        raise ConfigError("--workers", args.workers, "no --dask beside it")
    if args.dask is not None:
        return dask(args.dask, gpu=any(c.config.train.device == "cuda" for c in grid.cells))
    return nullcontext() if args.workers is None else Processes(args.workers)


def changes(args: argparse.Namespace) -> dict[str, Any]:
    """What the command line sets: field -> text, or a list of texts for an axis."""
    pairs = [(field, getattr(args, field)) for field in ALIASES.values()]
    pairs += [_assignment(text) for text in args.set]
    texts = {field: text for field, text in pairs if text is not None}
    return {field: t.split(",") if "," in t else t for field, t in texts.items()}


def field_help(base: Config) -> str:
    """Every field that --set knows, with its default and what it means."""
    rows = [f"  {name:26s} {value!s:12s} {text}" for name, value, text in describe(base)]
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
    add("--keep-saes", action="store_true", help="keep the trained SAEs, beside their cells")
    add("--workers", type=int, metavar="N", help="run the cells in N processes")
    add("--dask", metavar="ADDRESS", help="run them on a dask cluster (synthsae/CLUSTER.md)")
    add("--world", metavar="NAME", help=f"a world by its name: {', '.join(PRESETS)}")
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
