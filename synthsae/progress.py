"""What a long computation shows of itself on stderr: what it is, how far, and how long still.

A terminal or a notebook has one line that is redrawn; a log gets a line now and then. A thread of
its own looks at the clock, so that a long call that counts nothing is shown too.
"""

import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from typing import TextIO

from tqdm import tqdm

QUIET = 2.0
"""Seconds in which a computation shows nothing."""
LIVE, LOG = 0.5, 15.0
"""Seconds between two looks at a computation, and between two lines of a log."""
COUNTED = "{desc}: {percentage:.0f}% of {total_fmt} {unit} |{bar}| {elapsed}, {remaining} left"
PLAIN = "{desc}: {elapsed}"
OUTER = "{n_fmt}/{total_fmt} {unit} ({remaining} left), "

Count = Callable[[float], object]
_screen: "ContextVar[_Screen | None]" = ContextVar("screen", default=None)
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


@contextmanager
def bar(what: str, total: float = 0, unit: str = "", about: str = "") -> Iterator[Count]:
    """Show `what` while the block runs; yields what is called with the units done since last.

    With a `total` of units it shows how many are done and the time that is left. Inside another bar
    this one is shown in its place, behind how far that one is. A log shows nothing of what takes
    less than `QUIET` seconds, unless nothing else was shown for `LOG` seconds. What it is going to
    cost, `about`, is said at once.
    """
    if _hidden.get():
        yield lambda n: None
        return
    before, line = _screen.get(), _Line(what, total, unit)
    screen = before or _Screen()
    if about:
        say(f"{what}: {about}")
    _screen.set(screen)
    screen.push(line)
    try:
        yield line.count
    finally:
        screen.remove(line)
        if before is None and _screen.get() is screen:
            _screen.set(None)


@contextmanager
def hidden() -> Iterator[None]:
    """Show nothing in this block."""
    before = _hidden.get()
    _hidden.set(True)
    try:
        yield
    finally:
        _hidden.set(before)


def say(text: str, file: TextIO | None = None) -> None:
    """A line above the bar, on stderr or a `file`, in a `hidden` block too."""
    _write("")
    print(text, file=file or sys.stderr, flush=True)


@dataclass
class _Line:
    """One computation: `n` of `total` units are done."""

    what: str
    total: float
    unit: str
    n: float = 0
    began: float = field(default_factory=time.monotonic)
    shown: bool = False

    def count(self, n: float) -> None:
        self.n += n

    def text(self, form: str) -> str:
        """The line in one of the forms above."""
        return tqdm.format_meter(
            min(self.n, self.total),
            self.total or None,  # type: ignore[arg-type]
            time.monotonic() - self.began,
            prefix=self.what,
            unit=self.unit,
            unit_scale=self.total >= 10_000,
            bar_format=form,
            ascii=True,
        )


class _Screen:
    """The computations under way, each inside the one before; the last of them is shown."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._live = _is_live()
        self._every = LIVE if self._live else LOG
        self._last = time.monotonic() + QUIET - self._every
        self._over, self._lock = Event(), Lock()

    def push(self, line: _Line) -> None:
        """Begin a computation; with the first one, begin to watch."""
        with self._lock:
            self._lines.append(line)
        if len(self._lines) == 1:
            Thread(target=self._watch, daemon=True).start()

    def remove(self, line: _Line) -> None:
        """End a computation and those inside it. A log gets its last state, where it has an
        earlier one.

        A generator that an error left unfinished ends its own bar late, or after the outer one.
        """
        with self._lock:
            if line not in self._lines:
                return
            if line.shown and self._live:
                _write("")
            elif line.shown and line.total:
                self._show()
            del self._lines[self._lines.index(line) :]
        if not self._lines:
            self._over.set()

    def _watch(self) -> None:
        while not self._over.wait(min(LIVE, QUIET)):
            with self._lock:
                if self._lines and self._due(self._lines[-1]):
                    self._show()

    def _due(self, line: _Line) -> bool:
        now = time.monotonic()
        new = not line.shown and now - line.began >= QUIET
        return new or now - self._last >= self._every

    def _show(self) -> None:
        *outer, line = self._lines
        line.shown, self._last = True, time.monotonic()
        before = "".join(o.text(OUTER) for o in outer if o.total > 1)
        _write(before + line.text(COUNTED if line.total else PLAIN), redrawn=self._live)


def _is_live() -> bool:
    """Whether a line can be redrawn: on a terminal and in a notebook."""
    with suppress(OSError, ValueError, AttributeError):  # closed, or none at all
        return sys.stderr.isatty() or "ipykernel" in sys.modules
    return False


def _write(text: str, redrawn: bool = False) -> None:
    """Write a line in the place of the one that is redrawn; without text, only remove that."""
    width = shutil.get_terminal_size().columns - 1
    blank = f"\r{'':{width}}\r" if _is_live() else ""
    shown = text[:width] if redrawn else text and f"{text}\n"
    with suppress(OSError, ValueError, AttributeError):  # nobody reads it
        sys.stderr.write(blank + shown)
        sys.stderr.flush()
