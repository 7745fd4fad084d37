"""The command line: python -m synthsae.study NAME --set FIELD=VALUE."""

import argparse
import os
import re
import sys
from collections.abc import Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from synthsae.checks import ConfigError, closest, one_of, within
from synthsae.config import Config, architecture_options, describe
from synthsae.study.executors import Processes, dask
from synthsae.study.find import load, names
from synthsae.study.folder import clean, listing
from synthsae.study.grid import Grid, Study, kinds, plan
from synthsae.study.present import present
from synthsae.study.runner import KEEP, run
from synthsae.study.store import DamagedError, FormatError, Store, open_results
from synthsae.user_code import in_a_line
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
"""Short option -> the config field that it sets."""

PROG = "synthsae.study"
"""Default first word of error messages."""

FOLDER = {"results": listing, "clean": clean}
"""Words that can stand in place of a study, and what they do with the results folder."""


class _Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are one line that names the nearest option."""

    def error(self, message: str) -> NoReturn:
        known = {flag: flag for flag in self._option_string_actions}
        fields = *describe(Config()), *architecture_options()
        for name, *_ in fields:  # users may write a field as an option: --first-seed
            flag = "--" + name.rpartition(".")[2].replace("_", "-")
            known.setdefault(flag, f"--set {name}=VALUE")
        unknown = re.search(r"unrecognized arguments: .*?(--?[^\s=]+)", message)
        nearest = closest(unknown[1].replace("_", "-"), known) if unknown else None
        hint = f"; did you mean {known[nearest]}?" if nearest else ""
        self.exit(2, f"{self.prog}: {' '.join(message.split())}{hint}\n")


class _Once(argparse.Action):
    """An option that may be given once; plain argparse would silently keep the last value."""

    def __call__(self, parser: Any, namespace: Any, values: Any, option: str | None = None) -> None:
        given = vars(namespace).setdefault("_given", set())
        if self.dest in given:
            text = f"given twice, as {getattr(namespace, self.dest)} and as {values}"
            raise argparse.ArgumentError(self, text)
        given.add(self.dest)
        setattr(namespace, self.dest, values)


def main(argv: Sequence[str] | None = None, prog: str = PROG) -> int:
    """Run a study from the command line. Error messages begin with `prog`.

    Returns:
        The exit status: 0; 1 if a cell failed; 2 for bad input; 130 after Ctrl-C; 141 if the reader
        of the output has closed it, as in `| head`.
    """
    parser = _parser(prog)
    try:
        args = parser.parse_args(argv)
        status = _help(parser, args) if args.help else _main(args)
        print(end="", flush=True)  # raises here, not at exit, for a full disk or a closed pipe
        return status
    except ConfigError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        _discard_output()
        return 141
    except OSError as error:
        _discard_output()
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; finished cells are kept, the same command goes on", file=sys.stderr)
        return 130


def command(argv: Sequence[str] | None = None, prog: str = PROG) -> int:
    """`main` for a whole process: its output streams accept any text, and may be closed."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115
        getattr(sys, name).reconfigure(errors="backslashreplace")
    return main(argv, prog)


def _discard_output() -> None:
    """Discard buffered output that cannot be written, so that Python does not try again at exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _help(parser: argparse.ArgumentParser, args: argparse.Namespace) -> int:
    """Print the options, and every field of the config of the study."""
    base = chosen(args).base if args.study not in (None, "list", *FOLDER) else Config()
    print(f"{parser.format_help()}\n{field_help(base)}")
    return 0


def _main(args: argparse.Namespace) -> int:
    """Do what the parsed arguments say; returns the exit status."""
    if args.study == "list":
        for name in names():
            print(f"{name:20s} {load(name).question}")
        return 0
    if args.study in FOLDER:
        print(FOLDER[args.study](args.out))
        return 0
    study, name = chosen(args), Path(args.study or "").stem
    if args.figures_only:
        if args.quick or args.world or changes(args, study.base):
            raise ConfigError("--figures-only", name, "no --quick, world or field beside it")
        try:
            open_results(name, args.out)
        except (FileNotFoundError, DamagedError, FormatError) as error:
            raise ConfigError("--figures-only", name, str(error)) from error
        store = Store(args.out, name)
        with store.hold():
            present(study, store)
        return 0
    changed = changes(args, study.base)
    if args.world and "world" not in kinds(study.base, {**study.axes, **changed}):
        raise ConfigError("--world", args.world, "no other source beside it")
    try:
        grid = plan(study, changed, quick=args.quick, here=args.dask is None)
    except ConfigError:
        raise
    except Exception as error:  # the study is the user's code and may raise anything
        why = f"a study that can be planned ({in_a_line(error)})"
        raise ConfigError("study", args.study, why) from error
    with executor(args, grid) as workers:
        within("--keep-gib", args.keep_gib, 0)
        keep = 0.0 if args.no_keep_saes else args.keep_gib
        failed = run(args.study, study, grid, args.out, workers, keep, args.accept_stale)
        return 1 if failed else 0


def chosen(args: argparse.Namespace) -> Study:
    """The study that the arguments name, on the world that `--world` names."""
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


def changes(args: argparse.Namespace, base: Config) -> dict[str, Any]:
    """The fields that the command line sets.

    Returns:
        Dotted name of a field of `base` -> text, or list of texts for an axis.

    Raises:
        ConfigError: a field is set twice.
    """
    pairs = [(field, getattr(args, field)) for field in ALIASES.values()]
    texts: dict[str, str] = {}
    for field, text in [pair for pair in pairs if pair[1] is not None] + [
        _assignment(text) for text in args.set
    ]:
        if field in texts:
            once = "one value; a comma list makes an axis of several"
            raise ConfigError(field, f"{texts[field]} and {text}", once)
        texts[field] = text
    every = (*describe(base), *architecture_options())
    named = {name for name, value, _ in every if isinstance(value, str)}
    return {field: _values(text, field in named) for field, text in texts.items()}


def _values(text: str, is_name: bool) -> str | list[str]:
    r"""The values of a comma list, or its only value. `\,` is a comma inside a value.

    A name of an existing file, or FILE:NAME, is one value whatever commas it has.
    """
    files = (text, text.rpartition(":")[0]) if is_name else ()
    if any(path and os.path.exists(path) for path in files):
        return text
    parts = [part.replace(r"\,", ",") for part in re.split(r"(?<!\\),", text)]
    return [part.strip() for part in parts] if len(parts) > 1 else parts[0]


def field_help(base: Config) -> str:
    """Text that lists every field that `--set` knows, with its default and meaning."""
    options = list(architecture_options(base.sae))
    fields = [row for row in describe(base) if row[0] not in {name for name, *_ in options}]
    titles = ("fields, with the default of the study:", "options of architectures, by sae.arch:")
    lines = []
    for title, rows in zip(titles, (fields, options), strict=True):
        lines += [title, *(f"  {name:26s} {value!s:12s} {text}" for name, value, text in rows)]
    return "\n".join(lines)


def _assignment(text: str) -> tuple[str, str]:
    """(FIELD, VALUE) of `FIELD=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError("--set", text, "FIELD=VALUE")
    return name.strip(), value


def _parser(prog: str = PROG) -> argparse.ArgumentParser:
    parser = _Parser(prog=prog, add_help=False, allow_abbrev=False)
    add = parser.add_argument
    add(
        "study",
        nargs="?",
        help=f"{', '.join(names())}, or the path of a study file; `list` says what they ask, "
        "`results` what is in DIR and how large it is, `clean` removes what no study refers to",
    )
    add("-h", "--help", action="store_true", help="show this, and every field of the config")
    add("--quick", action="store_true", help="a small version, in seconds")
    add("--figures-only", action="store_true", help="draw the saved Dataset again")
    add("--no-keep-saes", action="store_true", help="do not keep the trained SAEs")
    add(
        "--keep-gib",
        type=float,
        default=KEEP,
        metavar="GIB",
        help=f"keep the trained SAEs in DIR/trainings up to this size ({KEEP:g})",
    )
    add(
        "--accept-stale",
        action="store_true",
        help="keep trainings by earlier code; the Dataset and the figure say so",
    )
    results, worlds = Path("results"), ", ".join(PRESETS)
    for flag, value, text, how in (
        ("--out", "DIR", "results (./results)", {"type": Path, "default": results}),
        ("--workers", "N", "run the cells in N processes", {"type": int}),
        ("--dask", "ADDRESS", "run them on a dask cluster (synthsae/study/CLUSTER.md)", {}),
        ("--world", "NAME", f"a world by its name: {worlds}", {}),
    ):
        add(flag, metavar=value, help=text, action=_Once, **how)
    add(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE[,VALUE]",
        help="set a field; a comma list makes it an axis and a dimension (a comma inside a name: "
        r"\, or the name of a file that exists); repeatable, for other fields",
    )
    for flag, name in ALIASES.items():
        add(flag, dest=name, metavar="VALUE", action=_Once, help=f"the same as --set {name}=VALUE")
    return parser
