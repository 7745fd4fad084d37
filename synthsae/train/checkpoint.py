"""Checkpoints: a training that was killed resumes from its last one and ends with the same bits.

The file <folder>/<group>-<identity>-<checksum>.safetensors holds the state of one group. Batches
are counter-based, so the number of steps done is the position in the stream of data. A new
checkpoint is written before the old one is removed.
"""

import json
import time
import warnings
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor

from synthsae.files import checksum, make, write
from synthsae.train.group import Group

EVERY = 120.0
"""Seconds between two checkpoints of a group."""


class Checkpoint:
    """The file that holds the state of one group.

    Attributes:
        folder: where the file is.
        name: name of the group.
        identity: hash of the training's settings. A checkpoint with another hash is ignored.

    Args:
        folder: where the file is.
        name: name of the group.
        identity: the training's settings, as values that JSON holds.
    """

    def __init__(self, folder: Path, name: str, identity: Any):
        self.folder, self.name = folder, name
        self.identity = checksum(json.dumps(identity, sort_keys=True).encode())[:16]
        self._saved_at = time.monotonic()

    def resume(self, group: Group) -> int:
        """Restore `group` from its last checkpoint, if any; returns the number of steps done."""
        states = [state for path in self._files() if (state := _read(path))]
        if states:  # two, if the process was killed before it removed the older one
            last = max(states, key=lambda state: int(state["steps"][0]))
            group.restore({key: v.to(group.loss.device) for key, v in last.items()})
        return group.n_done

    def save_if_due(self, group: Group, *, last: bool = False) -> None:
        """Save `group` if its last checkpoint is `EVERY` seconds old.

        After the `last` step it is saved as well, if it has a checkpoint.
        """
        due = time.monotonic() - self._saved_at >= EVERY
        if due or (last and self._files()):
            self.save(group)
            self._saved_at = time.monotonic()

    def save(self, group: Group) -> None:
        """Write the state of `group`, then remove its older checkpoint."""
        state = {key: v.detach().cpu().contiguous() for key, v in group.state().items()}
        data = save(state)
        old = self._files()
        make(self.folder, "checkpoint")
        path = self.folder / f"{self._stem}-{checksum(data)[:16]}.safetensors"
        write(path, data, "checkpoint")
        for before in old:
            if before != path:
                before.unlink()

    @property
    def _stem(self) -> str:
        return f"{self.name}-{self.identity}"

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob(f"{self._stem}-*.safetensors"))


def _read(path: Path) -> dict[str, Tensor] | None:
    """The state in `path`; None for a damaged file, which is removed with a warning."""
    data = path.read_bytes()
    if path.stem.endswith(f"-{checksum(data)[:16]}"):
        return load(data)
    warnings.warn(f"{path} is damaged and removed; its group starts again", stacklevel=4)
    path.unlink()
    return None
