"""Progress of long computations on stderr: name, share done, time left.

A terminal or a notebook shows one line that is redrawn. A log gets a new line every `LOG` seconds.
A thread looks at the clock, so that a long call without counts is shown, too.
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
"""Seconds after which a computation is first shown."""
LIVE, LOG = 0.5, 15.0
"""Seconds between two updates of a redrawn line, and between two lines of a log."""
COUNTED = "{desc}: {percentage:.0f}% of {total_fmt} {unit} |{bar}| {elapsed}, {remaining} left"
PLAIN = "{desc}: {elapsed}"
OUTER = "{n_fmt}/{total_fmt} {unit} ({remaining} left), "

Count = Callable[[float], object]
_screen: "ContextVar[_Screen | None]" = ContextVar("screen", default=None)
_hidden: ContextVar[bool] = ContextVar("hidden", default=False)


@contextmanager
def bar(what: str, total: float = 0, unit: str = "", about: str = "") -> Iterator[Count]:
    """Show the progress of the block.

    An inner bar takes the place of the outer one, after the outer one's count. A log does not show
    blocks shorter than `QUIET` seconds, unless nothing else was shown for `LOG` seconds.

    Args:
        what: name of the computation.
        total: number of units; with it, the bar shows the share done and the time left.
        unit: name of the units, in the plural.
        about: cost of the computation in words, printed at once.

    Yields:
        A function to call with the number of units done since the last call.
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
    """Show no bar in this block."""
    before = _hidden.get()
    _hidden.set(True)
    try:
        yield
    finally:
        _hidden.set(before)


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line above the bar, to stderr or `file`; in a `hidden` block, too."""
    _write("")
    print(text, file=file or sys.stderr, flush=True)


@dataclass
class _Line:
    """One computation, with `n` of `total` units done."""

    what: str
    total: float
    unit: str
    n: float = 0
    began: float = field(default_factory=time.monotonic)
    shown: bool = False

    def count(self, n: float) -> None:
        self.n += n

    def text(self, form: str) -> str:
        """The line in the format `form`: `COUNTED`, `PLAIN` or `OUTER`."""
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
    """Nested computations, outermost first; the innermost is shown."""

    def __init__(self) -> None:
        self._lines: list[_Line] = []
        self._live = _is_live()
        self._every = LIVE if self._live else LOG
        self._last = time.monotonic() + QUIET - self._every
        self._over, self._lock = Event(), Lock()

    def push(self, line: _Line) -> None:
        """Add a computation. The first one starts the thread."""
        with self._lock:
            self._lines.append(line)
        if len(self._lines) == 1:
            Thread(target=self._watch, daemon=True).start()

    def remove(self, line: _Line) -> None:
        """Remove a computation and those inside it. A log that shows it gets its last state.

        A bar inside can still be open: that of a generator that an error left unfinished.
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
    """Whether stderr is a terminal or a notebook, where a line can be redrawn."""
    with suppress(OSError, ValueError, AttributeError):  # stderr is closed or None
        return sys.stderr.isatty() or "ipykernel" in sys.modules
    return False


def _write(text: str, redrawn: bool = False) -> None:
    """Replace the redrawn line by `text`; with an empty text, only remove it."""
    width = shutil.get_terminal_size().columns - 1
    blank = f"\r{'':{width}}\r" if _is_live() else ""
    shown = text[:width] if redrawn else text and f"{text}\n"
    with suppress(OSError, ValueError, AttributeError):  # stderr is closed
        sys.stderr.write(blank + shown)
        sys.stderr.flush()
