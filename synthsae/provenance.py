"""Which code and which versions of packages computed a result."""

import json
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path


@cache
def versions() -> str:
    """The versions of Python and of the packages that the numbers depend on, as JSON."""
    packages = ("synthsae", "numpy", "scipy", "torch", "xarray")
    return json.dumps({"python": platform.python_version()} | {p: version(p) for p in packages})


@cache
def git_commit() -> str:
    """The git commit of this package, with `-dirty` after it where files differ from the commit.

    `unknown` where the package is not run from a git checkout.
    """
    tracked = ("ls-files", "--error-unmatch", Path(__file__).name)
    describe = ("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        for arguments in (tracked, describe):
            git = ["git", "-C", str(Path(__file__).parent), *arguments]
            output = subprocess.run(git, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return output.strip()
