"""Start our commands so that Ctrl-C ends them without a traceback, even during imports."""

import sys
from collections.abc import Callable
from typing import NoReturn


def quietly(load: Callable[[], Callable[[], int]]) -> NoReturn:
    """Run the command that `load` imports, and exit with its status, or with 130 after Ctrl-C.

    While `load` runs, Ctrl-C ends the process at once: nothing is half-done yet. A SIGINT handler
    other than Python's own stays (SIGINT is ignored in a background job, for example).
    """
    import os  # imported here: the caller first makes sure that no user file shadows them
    import signal

    def end(*_: object) -> None:
        os._exit(130)

    wanted = signal.getsignal(signal.SIGINT)
    ours = wanted is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, end)
    command = load()
    try:
        signal.signal(signal.SIGINT, wanted)
        status = command()
    except KeyboardInterrupt:  # a second one, while `command` was handling the first
        status = 130
    if ours:
        signal.signal(signal.SIGINT, end)
    sys.exit(status)


def after_all_others() -> None:
    """Move the working directory, which `python -m` searches first, to the end of `sys.path`.

    No file there then shadows a module.
    """
    if not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))
