"""Fuzzing of all that reads what a user brings: weights, arrays, texts, options, configs, results.

    FUZZ_MINUTES=60 FUZZ_SEED=1 pytest -m fuzz -n0 -s

hunts for an hour, shared out evenly between the readers (`tests/fuzz/test_fuzz_arrays.py` in place
of `-m fuzz` takes one reader, `-k` one test). Without a seed one is chosen; it is printed. A hunt
goes on behind what it finds, and ends with one example of each kind, the simplest that Hypothesis
could make of it. An example is plain data: put `check(EXAMPLE)` into an ordinary test.

A test here is a check and a strategy of examples. The check makes the files that the example says,
calls the reader through `answer`, and compares with an independent reading. It may find: another
exception than the refusals that are documented, a refusal of several lines, a RuntimeWarning, a
wrong result; and, as a hunt runs it in a process of its own, a crash, more than `PATIENCE` seconds
and more than `ROOM` bytes. The default suite runs `EXAMPLES` of each, always the same.
"""

import json
import math
import multiprocessing
import os
import resource
import time
import traceback
import warnings
from contextlib import contextmanager, suppress
from copy import deepcopy
from itertools import count
from pathlib import Path

import psutil
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.errors import FlakyFailure

from synthsae.checks import ConfigError

EXAMPLES = 15
SIMPLIFY = 30.0
"""Seconds for the simplest example of a kind."""
PATIENCE = 10.0
DEADLOCK = 30
ROOM = 3 * 2**30
ROOT = Path(__file__).parents[2]
SPAWN = multiprocessing.get_context("spawn")
QUIET = {"database": None, "deadline": None, "suppress_health_check": list(HealthCheck)}


def answer(call, *refusals):
    """What `call` returns; None where it raises ConfigError, or one of `refusals`, in one line."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)
        try:
            return call()
        except (ConfigError, *refusals) as error:
            said = str(error)
    assert len(said.splitlines()) == 1, f"not one line: {said!r}"
    return None


def sample(check, examples, few=EXAMPLES):
    """Check a few examples, in this process, the same each time."""
    fixed = settings(max_examples=few, derandomize=True, phases=(Phase.generate,), **QUIET)
    with room():
        fixed(given(examples)(check))()


@contextmanager
def room():
    """No more than `ROOM` bytes of address space above what is taken now."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (psutil.Process().memory_info().vms + ROOM, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


def hunt(check, examples, seconds, first, name):
    """Check examples for so many seconds, and fail with one of each kind that was found."""
    found, end, child = {}, time.monotonic() + seconds, Child(check)
    for number in count(first):
        if kind := _round(child, examples, number, found, end):
            print(f"\n[{name}, seed {number}] {found[kind]}", flush=True)
        if time.monotonic() > end:
            break
    child.end()
    print(f"\n[{name}] seeds {first} to {number}: {child.tried} examples, {len(found)} kinds found")
    assert not found, "\n".join(found.values())


def _round(child, examples, number, found, end):
    """The kind of a find that is not among those `found`, which gets its simplest example."""
    kinds, simple_by = [], math.inf

    @seed(number)
    @settings(max_examples=500, phases=(Phase.generate, Phase.shrink), **QUIET)
    @given(examples)
    def once(example):
        nonlocal simple_by
        if time.monotonic() > min(end if not kinds else math.inf, simple_by):
            return
        kind, text = child.run(example)
        # from the first find on Hypothesis simplifies that one, and no other kind
        if kind and (kind == kinds[0] if kinds else kind not in found):
            simple_by = min(simple_by, time.monotonic() + SIMPLIFY)
            kinds[:] = [kind]
            found[kind] = f"{kind}\n  {child.check.__name__}({example!r})\n  {text}"
            raise AssertionError(kind)

    with suppress(AssertionError, FlakyFailure):
        once()
    return kinds[0] if kinds else None


class Child:
    """A process in which a check runs: it may crash, hang or ask for too much memory.

    Time is the processor's, since a busy machine makes others wait, and up to `DEADLOCK` times as
    long by the clock.
    """

    def __init__(self, check):
        self.check, self.process, self.tried = check, None, 0

    def run(self, example):
        """Kind and description of what was found, or two None."""
        self.tried += 1
        patience = PATIENCE
        if self.process is None:
            patience *= 6  # what is imported only when it is used takes seconds too
            self.pipe, theirs = SPAWN.Pipe()
            self.process = SPAWN.Process(target=_serve, args=(theirs, self.check), daemon=True)
            self.process.start()
            theirs.close()
            self.pipe.recv()
        self.pipe.send(example)
        if not self._answers(patience):
            self.end()
            return "hang", f"more than {patience} s"
        try:
            return self.pipe.recv()
        except EOFError:
            self.process.join()
            code, self.process = self.process.exitcode, None
            return f"crash {code}", "the process died"

    def _answers(self, patience):
        """Whether the process answers, or dies, within `patience` seconds of computing."""
        process, end = psutil.Process(self.process.pid), time.monotonic() + DEADLOCK * patience
        with suppress(psutil.NoSuchProcess):
            limit = sum(process.cpu_times()[:2]) + patience
            while not self.pipe.poll(1.0):
                if sum(process.cpu_times()[:2]) > limit or time.monotonic() > end:
                    return False
        return True

    def end(self):
        """Kill it."""
        if self.process is not None:
            self.process.kill()
            self.process.join()
            self.process = None


def _serve(pipe, check):
    """Check what comes, in `ROOM` bytes above what the imports take."""
    import matplotlib.pyplot  # noqa: F401
    import pyarrow.parquet  # noqa: F401
    import torch
    import zarr  # noqa: F401

    torch.set_num_threads(1)
    for stream in (1, 2):  # what the readers say is not looked at
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream)
    pipe.send("ready")
    with room():
        while True:
            example = pipe.recv()
            try:
                check(example)
                pipe.send((None, None))
            except BaseException as error:  # SystemExit too: what a check lets through is a find
                last = traceback.format_exception_only(error)[-1].strip()[:500]
                pipe.send((f"{type(error).__name__} {place(error)}", last))


def place(error):
    """The innermost function of this project that raised it; in a check, its line too."""
    frames = [
        f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(str(ROOT))
    ]
    if not frames:
        return "elsewhere"
    frame = frames[-1]
    where = f"{Path(frame.filename).relative_to(ROOT)}:{frame.name}"
    return f"{where}:{frame.lineno}" if "tests" in frame.filename else where


fractions = st.floats(0, 1, exclude_max=True)
edits = st.lists(
    st.tuples(
        st.sampled_from(["flip", "put", "insert", "cut", "repeat", "end"]),
        fractions,
        st.binary(min_size=1, max_size=9),
    ),
    min_size=1,
    max_size=3,
)
"""Damage to a file: what, where, and bytes (the square of their number is the length of a span)."""


def edited(data, changes):
    """Bytes after some `edits`."""
    for what, where, new in changes:
        at = int(where * len(data))
        before, span, rest = data[:at], data[at : at + len(new) ** 2], data[at:]
        after = {
            "flip": bytes([rest[0] ^ new[0]]) + rest[1:] if rest else b"",
            "put": new + rest[len(new) :],
            "insert": new + rest,
            "cut": rest[len(span) :],
            "repeat": span + rest,
            "end": b"",
        }
        data = before + after[what]
    return data


WORDS = (
    "F32 F64 BF16 I8 U8 F8_E4M3 BOOL W_dec topk standard gated jumprelu abstopk none relu auto cpu"
)
WORDS = [*WORDS.split(), "cuda", "", "é", "\ud83d", "a\nb"]
numbers = st.integers() | st.integers(-2, 20) | st.sampled_from([2**31, 2**63, 2**64, 10**30])
plain = st.none() | st.booleans() | numbers | st.floats() | st.sampled_from(WORDS) | st.text()
values = st.recursive(plain, lambda v: st.lists(v, max_size=3) | st.dictionaries(st.text(), v))
"""What JSON can hold, and what it had better not."""
json_edits = st.lists(
    st.tuples(st.sampled_from(["set", "drop", "rename", "swap"]), fractions, fractions, values),
    min_size=1,
    max_size=3,
)


def edited_json(tree, changes):
    """A JSON tree after some `json_edits`."""
    tree = json.loads(json.dumps({"root": tree}))
    for what, *where, new in changes:
        places = list(_places(tree))
        if not places:
            break
        (a, i), (b, j) = (places[int(f * len(places))] for f in where)
        if what == "swap":
            a[i], b[j] = deepcopy(b[j]), deepcopy(a[i])
        elif what == "drop":
            del a[i]
        elif what == "rename" and isinstance(a, dict):
            a[str(new)] = a.pop(i)
        else:
            a[i] = new
    return tree.get("root")


def _places(tree):
    for key, value in list(tree.items() if isinstance(tree, dict) else enumerate(tree)):
        yield tree, key
        if isinstance(value, dict | list):
            yield from _places(value)


def edited_header(data, changes):
    """A safetensors file after `json_edits` of its header, and of the JSON in its metadata."""
    n = int.from_bytes(data[:8], "little")
    tree = json.loads(data[8 : 8 + n])
    about = tree.get("__metadata__", {})
    about |= {k: json.loads(v) for k, v in about.items()}
    tree = edited_json(tree, changes)
    about = tree.get("__metadata__") if isinstance(tree, dict) else None
    if isinstance(about, dict):
        about |= {k: json.dumps(v) for k, v in about.items()}
    header = json.dumps(tree).encode()
    return len(header).to_bytes(8, "little") + header + data[8 + n :]
