"""How our commands start: quiet at Ctrl-C, also while the imports take seconds."""

import sys
from collections.abc import Callable
from typing import NoReturn


def quietly(load: Callable[[], Callable[[], int]]) -> NoReturn:
    """Exit with the status of the command that `load` imports; 130 at Ctrl-C.

    Nothing is half-done while `load` runs, so Ctrl-C ends the process there. Where SIGINT is not
    Python's own (ignored in a background job, say), it stays as it is.
    """
    import os  # here, so that the caller can first see to it that no file of a user hides them
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
    except KeyboardInterrupt:  # while `command` was dealing with another
        status = 130
    if ours:
        signal.signal(signal.SIGINT, end)
    sys.exit(status)


def after_all_others() -> None:
    """Put the working directory, where `python -m` looks first, at the end of the path.

    So no file there hides a module.
    """
    if not sys.flags.safe_path:
        sys.path.append(sys.path.pop(0))
