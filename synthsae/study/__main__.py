"""python -m synthsae.study NAME"""

from collections.abc import Callable

from synthsae.entry import after_all_others, quietly


def _load() -> Callable[[], int]:
    from synthsae.study.cli import command

    return command


if __name__ == "__main__":
    after_all_others()
    quietly(_load)
