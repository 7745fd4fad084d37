"""Checkpoints: a long training that was killed goes on where it was, to the bit.

<folder>/<group>-<checksum>.safetensors holds the state of one group. Batches are counter-based, so
the number of steps done is the position in the stream. A new checkpoint is written before the old
one is removed.
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
"""Seconds between the checkpoints of a group."""


class Checkpoint:
    """The file of one group's state.

    Attributes:
        folder: where the file is.
        name: which group it is.
        identity: what the training is; a checkpoint of another one is not used.
    """

    def __init__(self, folder: Path, name: str, identity: Any):
        self.folder, self.name = folder, name
        self.identity = checksum(json.dumps(identity, sort_keys=True).encode())[:16]
        self._saved_at = time.monotonic()

    def resume(self, group: Group) -> int:
        """Bring `group` to its last checkpoint, if there is one; returns the steps it has done."""
        states = [state for path in self._files() if (state := _read(path))]
        if states:  # two where a kill came between the writing of one and the removal of another
            last = max(states, key=lambda state: int(state["steps"][0]))
            group.restore({key: v.to(group.loss.device) for key, v in last.items()})
        return group.n_done

    def tick(self, group: Group, *, last: bool = False) -> None:
        """Save `group` where its checkpoint is old enough; a long training also at its end."""
        due = time.monotonic() - self._saved_at >= EVERY
        if due or (last and self._files()):
            self.save(group)
            self._saved_at = time.monotonic()

    def save(self, group: Group) -> None:
        """Write the state of `group`, then remove the one before it."""
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
    """The state in `path`; a damaged file is said and removed."""
    data = path.read_bytes()
    if path.stem.endswith(f"-{checksum(data)[:16]}"):
        return load(data)
    warnings.warn(f"{path} is damaged; its group starts again", stacklevel=4)
    path.unlink()
    return None
