"""Options: the command line of a study up to its grid, and fields set by text."""

import io
import re
import tempfile
from contextlib import redirect_stderr, redirect_stdout
from fractions import Fraction
from typing import get_args
from unittest import mock

import numpy as np
from fuzzing import answer
from hypothesis import strategies as st

from synthsae.config import Config, describe, override
from synthsae.sae import ARCHITECTURES
from synthsae.study import Grid, cli, names
from synthsae.world import PRESETS

FIELDS = {name: value for name, value, _ in describe(Config())}
PATHS = ("source.model", "source.text", "source.arrays", "source.cache")
FLAGS = {flag: field for flag, field in cli.ALIASES.items() if field not in PATHS}
UNITS = {"": 1, "k": 10**3, "M": 10**6, "B": 10**9}

shell = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
shell |= st.sampled_from(["\udc80", "-", "--", "a b", "é", "\n", "=", ","])
digits = st.from_regex(
    r"[+-]?[0-9]{1,5}(\.[0-9]{1,4})?([eE][+-]?[0-9]{1,3})?[kMB]?", fullmatch=True
)
ODD = "nan inf -inf 1e400 1e-400 1e999999999 2e19 1_000 1__0 ٣ ² 0x10 .5 1. 1.5k None true False"
ODD = [*ODD.split(), "18446744073709551616", "9" * 50, "", " 4"]
digits |= st.integers(0, 12).map(str) | st.sampled_from(ODD)
choices = st.sampled_from(["auto", "cpu", "cuda", "shared", "sparse", *ARCHITECTURES, "float32"])
text = digits | digits | choices | shell
lists = st.lists(text, min_size=1, max_size=3).map(",".join)
field = st.sampled_from([f for f in FIELDS if f not in PATHS])
assignments = st.tuples(st.just("--set"), st.tuples(field, lists).map("=".join))
options = (
    assignments
    | assignments
    | st.tuples(st.sampled_from(list(FLAGS)), lists)
    | st.tuples(st.just("--set"), shell)
    | st.tuples(st.just("--set"), shell.map("source.arrays={place}/x.npy".__add__))
    | st.tuples(st.just("--world"), st.sampled_from([*PRESETS, "", "small"]) | shell)
    | st.tuples(st.just("--workers"), st.sampled_from(["1", "2", "0", "-1", "x", "9" * 9]))
    | st.sampled_from(
        ["--quick", "--no-keep-saes", "--accept-stale", "--figures-only", "--help"]
    ).map(lambda o: (o,))
    | st.tuples(st.just("--out"), shell.map("{place}/out".__add__))
    | st.tuples(shell)
)
studies = st.sampled_from(["rank_sweep", "seed_stability", "k_sweep", *names()])
commands = st.tuples(studies | studies | shell, st.lists(options, max_size=4))


def reading(text, kind):
    """What a text says for a field of that type; ValueError where it says nothing."""
    kinds = get_args(kind) or (kind,)
    if str in kinds:
        return text
    words = {"none": None, "true": True, "false": False}
    value = words.get(text.lower(), ...)
    if value is ...:
        number, unit = re.fullmatch(r"(.*?)([kMB]?)", text, re.DOTALL).groups()
        number = re.sub(r"(?<=\d)_(?=\d)", "", number.strip())
        if re.fullmatch(r"[+-]?(nan|inf|infinity)", number.lower() + unit):
            value = float(number)
        elif re.search(r"[eE][+-]?\d{5}", number):
            raise ValueError(text)
        else:
            exact = Fraction(number) * UNITS[unit]
            value = int(exact) if int in kinds and exact.denominator == 1 else float(exact)
    if type(value) not in kinds:
        raise ValueError(text)
    return value


def same(value, text, kind):
    """Whether a field holds what a text says."""
    try:
        return repr(value) == repr(reading(text, kind))
    except (ValueError, OverflowError, KeyError, ZeroDivisionError):
        return False


def type_of(name):
    """The type of a field of a study's config."""
    section, _, rest = name.rpartition(".")
    config = Config()
    owner = type(config.get(section) if section else config)
    return owner.__dataclass_fields__[rest].type


def called(argv):
    """Status, the lines on stderr and the grid of a command."""
    grids = []

    def planned(*args, **rest):
        grids.extend(a for a in args if isinstance(a, Grid))
        return []

    out = io.TextIOWrapper(io.BytesIO(), encoding="utf-8")
    err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors="backslashreplace")
    with redirect_stdout(out), redirect_stderr(err), mock.patch.object(cli, "run", planned):
        try:
            status = cli.main(argv)
        except SystemExit as stop:
            status = stop.code
        out.flush()
        err.flush()
    return status, err.buffer.getvalue().decode().splitlines(), grids


def check_command(example):
    """Status 0 and a grid that says what the options say, or status 2 and one line."""
    study, given = example
    with tempfile.TemporaryDirectory() as place:
        np.save(f"{place}/x.npy", np.random.default_rng(0).standard_normal((500, 8)))
        given = [tuple(o.replace("{place}", place) for o in one) for one in given]
        argv = [study, *(o for one in given for o in one)]
        if not any(one[0] == "--out" for one in given):
            argv += ["--out", f"{place}/out"]
        status, said, grids = called(argv)
        assert status in (0, 2), f"status {status}"
        assert status == 0 or len(said) == 1, "not one line"
        if status or not grids:
            return
        pairs = [(FLAGS[o[0]], o[1]) for o in given if o[0] in FLAGS]
        pairs += [o[1].split("=", 1) for o in given if o[0] == "--set" and "=" in o[1]]
        pairs = [(name.strip(), value) for name, value in pairs]
        for name, value in pairs:
            if name not in PATHS:
                said = {v for n, v in pairs if n == name}
                assert len(said) == 1, "set twice to different values"
                check_axis({cell.config.get(name) for cell in grids[0].cells}, value, name)


def check_axis(held, value, name):
    """The cells hold what a comma list says, all of it and no more."""
    kind = type_of(name)
    if kind is not str:
        match = [[same(one, text, kind) for text in value.split(",")] for one in held]
        assert all(map(any, match)), f"other {name}"
        assert all(map(any, zip(*match, strict=True))), f"lost {name}"


def test_commands(fuzz):
    fuzz(check_command, commands)


def check_field(example):
    """A field holds what the text says, to the last digit, or is refused."""
    name, value = example
    config = answer(lambda: override(Config(), {name: value}))
    kind = type_of(name)
    if config is not None:
        assert same(config.get(name), value, kind), "other value"
    elif name in ("train.n_steps", "world_seed", "first_seed"):
        assert not any(same(n, value, kind) for n in (0, 1, 10, 1000, 1500)), "refused"


def test_fields(fuzz):
    fuzz(check_field, st.tuples(field, text))


def test_defaults_are_read_back():
    for name, value, _ in describe(Config()):
        assert override(Config(), {name: str(value)}).get(name) == value
