"""python -m synthsae.study: quiet at Ctrl-C from here on, while the imports take seconds."""

import os
import signal
import sys


def _end(*_: object) -> None:
    os._exit(130)


if not sys.flags.safe_path:
    sys.path.append(sys.path.pop(0))  # the working directory: no file there hides a module

wanted = signal.getsignal(signal.SIGINT)
if wanted is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
from synthsae.study.cli import command  # noqa: E402

try:
    signal.signal(signal.SIGINT, wanted)
    status = command()
except KeyboardInterrupt:  # while `command` was dealing with another
    status = 130
if wanted is signal.default_int_handler:
    signal.signal(signal.SIGINT, _end)
sys.exit(status)
