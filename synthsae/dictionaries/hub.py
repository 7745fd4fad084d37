"""Download the files of one SAE from the Hugging Face hub, and no others."""

import re
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from synthsae.checks import ConfigError
from synthsae.dictionaries.config import FILES
from synthsae.dictionaries.rates import SPARSITY

NAME = re.compile(
    r"(?P<repo>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[^/]+))?(/(?P<inside>.+?))?/?", re.ASCII
)


class Place(NamedTuple):
    """ORGANISATION/NAME[@REVISION][/FOLDER-OR-FILE] on the hub, and its parts."""

    text: str
    repo: str
    revision: str | None
    inside: str


def parsed(text: str) -> Place | None:
    """The parts of a name on the hub; None for a text that cannot be one.

    A name that begins as a local folder does is a misspelt path, not a name on the hub.
    """
    found = NAME.fullmatch(text)
    if not found or Path(text.partition("/")[0]).is_dir():
        return None
    return Place(text, found["repo"], found["revision"], found["inside"] or "")


def fetch(place: Place, choose: Callable[[str, Sequence[str]], str]) -> Path:
    """The local copy of a file of weights, with the configs and the firing rates beside it.

    Args:
        place: a folder, or a file of weights.
        choose: picks the file of weights from the names in a folder (`places.choose`).

    Raises:
        ConfigError: there is no such folder on the hub, or it cannot be downloaded.
    """
    try:
        from huggingface_hub import hf_hub_download
    except ImportError as error:
        allowed = "a local folder or file; for names on the hub: pip install huggingface_hub"
        raise ConfigError(place.text, "not found", allowed) from error
    names = _names(place)
    chosen = place.inside
    if chosen not in names:
        folder = f"{place.inside}/" if place.inside else ""
        chosen = folder + choose(place.text, _listed(names, folder))
    for name in [*_beside(chosen, names), chosen]:  # `local` is that of the last one
        try:
            local = hf_hub_download(place.repo, name, revision=place.revision)
        except Exception as error:  # errors of the network come from several libraries
            raise _refused(place, error) from error
    return Path(local)


def _listed(names: Sequence[str], folder: str) -> list[str]:
    """The entries of a folder, and those of its `checkpoints`; folders end in a slash."""
    inside = [name.removeprefix(folder) for name in names if name.startswith(folder)]
    folders = {name.partition("/")[0] + "/" for name in inside if "/" in name}
    files = {n for n in inside if "/" not in n.removeprefix("checkpoints/")}
    return sorted(files | folders)


def _beside(chosen: str, names: Sequence[str]) -> list[str]:
    """The configs and firing rates of a file of weights, and its shards if it is an index."""
    file = PurePosixPath(chosen)
    configs = [file.with_name(name) for name in (f"{file.stem}.json", *FILES, SPARSITY)]
    if file.parent.name == "checkpoints":
        configs += [file.parent.with_name(name) for name in FILES]
    wanted = {str(config) for config in configs}
    if chosen.endswith(".index.json"):
        wanted |= {n for n in names if PurePosixPath(n).match(f"{file.parent}/*.safetensors")}
    return [name for name in names if name in wanted - {chosen}]


def _names(place: Place) -> list[str]:
    """The files of a repository; without a network, those that were downloaded before."""
    from huggingface_hub import HfApi, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return list(HfApi().list_repo_files(place.repo, revision=place.revision))
    except (HfHubHTTPError, HFValidationError) as error:
        raise _refused(place, error) from error
    except Exception as error:  # no network: its errors come from several libraries
        try:
            local = snapshot_download(place.repo, revision=place.revision, local_files_only=True)
        except Exception:
            raise _refused(place, error) from error
        found = (f.relative_to(local).as_posix() for f in Path(local).rglob("*") if f.is_file())
        return sorted(found)


def _refused(place: Place, error: Exception) -> ConfigError:
    """The error for a repository that does not exist, may not be read or cannot be reached."""
    allowed = "a folder or file that exists, or one on the hub that you can reach and may read"
    return ConfigError(place.text, f"not found ({type(error).__name__})", allowed)
