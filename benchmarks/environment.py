"""The environment of the other libraries: made once, in benchmarks/.venv, which git ignores.

Nothing of theirs is installed beside this library. pip takes its settings from where it always
does, so PIP_EXTRA_INDEX_URL can name an index with a CPU build of PyTorch.
"""

import subprocess
import sys
import venv
from pathlib import Path

import torch

FOLDER = Path(__file__).parent / ".venv"
LIBRARIES = (
    "sae-lens==6.54.12",
    "dictionary-learning==0.1.0",
    "overcomplete==0.3.0",
    "eai-sparsify==1.3.3",
)


def make() -> Path:
    """The Python of the peers' environment, made where it is missing, with torch as here."""
    python, done = FOLDER / "bin" / "python", FOLDER / "installed.txt"
    wanted = (f"torch=={torch.__version__.split('+')[0]}", *LIBRARIES)
    if done.exists() and done.read_text().split() == list(wanted):
        return python
    print(f"making {FOLDER} (some minutes, 3 GB and more)", flush=True)
    venv.create(FOLDER, clear=True, with_pip=True)
    pip = [str(python), "-m", "pip"]
    subprocess.run([*pip, "install", "--quiet", *wanted], check=True)
    # torchvision breaks the others' imports where it was built for another torch (a CPU wheel, say)
    if subprocess.run([str(python), "-c", "import torchvision"], capture_output=True).returncode:
        subprocess.run([*pip, "uninstall", "--quiet", "--yes", "torchvision"], check=True)
    done.write_text("\n".join(wanted))
    return python


if __name__ == "__main__":
    sys.exit(print(make()))
