"""Find the file of weights that a path, a folder or a name on the Hugging Face hub means."""

import re
from collections.abc import Sequence
from pathlib import Path

from synthsae.checks import ConfigError
from synthsae.dictionaries import hub, pickled
from synthsae.dictionaries.rates import SPARSITY

SHARD = re.compile(r"-\d+-of-0*([2-9]|[1-9]\d+)\b")
FIRST = (
    *("sae_weights.safetensors", "sae.safetensors", "params.npz", "ae.pt", "sae_weights.pt"),
    *(f"checkpoints/{name}.safetensors" for name in ("pruned", "final")),
    *(f"checkpoints/{name}.pt" for name in ("pruned", "final")),
)
"""Files that libraries write: SAELens, sparsify, Gemma Scope, dictionary_learning, OpenMOSS."""

ENDINGS = ((".safetensors.index.json",), (".safetensors",), (".npz",), (".npy",), pickled.ENDINGS)
"""Other files of weights, the preferred first; a folder has one of the first kind it has."""

KNOWN = "a folder or file of weights that exists, or ORGANISATION/NAME[/FOLDER] on the hub"


def shown(path: str | Path) -> str:
    """`path` as printable text: undecodable bytes and control characters are escaped."""
    text = str(path).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def find(path: str | Path) -> Path:
    """The file of weights at `path`, in the folder `path`, or of that name on the hub.

    Raises ConfigError where there is none, several, or a shard without its index.
    """
    name, file = shown(path), Path(path)
    try:
        if file.is_dir():
            names = [f.name + "/" * f.is_dir() for f in file.iterdir()]
            names += [f"checkpoints/{f.name}" for f in file.glob("checkpoints/*")]
            file = file / choose(name, names)
        elif not file.exists() and (place := hub.parsed(str(path))):
            file = hub.fetch(place, choose)
        if not file.is_file():
            raise ConfigError(name, "not found", KNOWN)
    except OSError as error:
        raise ConfigError(name, str(error.strerror), "a folder or file that can be read") from error
    if SHARD.search(file.name):
        raise ConfigError(name, "one of several shards", "their folder, with the index.json of all")
    return file


def choose(where: str, names: Sequence[str]) -> str:
    """The file of weights among the names in a folder; folders among them end in a slash.

    Raises ConfigError where none or several may be it.
    """
    if known := [name for name in FIRST if name in names]:
        return known[0]
    found: list[str] = []
    for ending in ENDINGS:
        found = found or [name for name in names if name.endswith(ending) and "/" not in name]
        found = [name for name in found if name != SPARSITY]
    if len(found) != 1:
        listed = sorted(shown(name) for name in names if name.find("/") in (-1, len(name) - 1))
        listed = [*listed[:8], f"... {len(listed)} in all"] if len(listed) > 8 else listed
        allowed = "a folder with one file of weights (name the file, or the folder of one SAE)"
        raise ConfigError(where, listed, allowed)
    return found[0]
