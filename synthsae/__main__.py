"""The command `synthsae`, also `python -m synthsae`."""

import sys
from collections.abc import Callable

from synthsae.entry import after_all_others, quietly

USAGE = """usage: synthsae COMMAND ...

  run NAME ...      run a study: one of ours, or a file of your own (`run NAME --help`: its options)
  list              our studies, and the question of each
  compare SAE ...   what SAEs of several seeds have in common (`compare --help`)
  results           what is in the results folder, and how large it is
  clean             remove from it what no study refers to
  doctor            what this machine computes with, and whether its GPU kernels are right
  --version
"""
STUDY = {"run": (), "list": ("list",), "results": ("results",), "clean": ("clean",)}
"""Commands that `synthsae.study` runs -> the arguments that select them there."""


def _usage() -> int:
    print(USAGE, end="")
    return 0


def _version() -> int:
    from synthsae import __version__

    print(f"synthsae {__version__}")
    return 0


def _load() -> Callable[[], int]:
    """The command that the arguments ask for."""
    name, *rest = sys.argv[1:] or ["--help"]
    if name in STUDY:
        from synthsae.study.cli import command as study

        return lambda: study([*STUDY[name], *rest], f"synthsae {name}")
    if name == "compare":
        from importlib import import_module

        return lambda: import_module("realdata.compare").main(rest)
    if name == "doctor":
        from synthsae import doctor

        return lambda: doctor.main(rest)
    if name in ("-h", "--help"):
        return _usage
    return _version if name == "--version" else lambda: _unknown(name)


def _unknown(name: str) -> int:
    from synthsae.checks import nearest

    known = [*STUDY, "compare", "doctor", "--help", "--version"]
    print(f"synthsae: {name!r}; allowed: {', '.join(known)}{nearest(name, known)}", file=sys.stderr)
    return 2


def main() -> None:
    """Entry point of the console script."""
    quietly(_load)


if __name__ == "__main__":
    after_all_others()
    main()
