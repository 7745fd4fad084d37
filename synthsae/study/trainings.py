"""Trained SAEs on disk, shared by all studies of a results folder.

<out>/trainings/<config>-<code>.safetensors   the SAEs and their evaluation on held-out samples
<out>/trainings/<config>-<code>.json          written last: a checksum and the provenance
<out>/trainings/code/<hash>.json              the fingerprint of the code that has this hash

The name of a training holds a hash of its config and a hash of the code that computed it, so a
change of the code makes another training.
"""

import hashlib
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock
from safetensors import SafetensorError, safe_open

from synthsae import files
from synthsae.checks import ConfigError
from synthsae.config import Config
from synthsae.evaluation import Evaluation
from synthsae.sae import SAEStack
from synthsae.scores.run import Run
from synthsae.study.fingerprint import Fingerprint
from synthsae.train import resolve_device

EVALUATION = "evaluation."
"""Prefix of the names of tensors that are not parameters."""


class Trainings:
    """The trainings of a results folder.

    Attributes:
        damaged: files that did not match their checksum. They were removed.
    """

    def __init__(self, out: Path):
        self.folder = out / "trainings"
        self.damaged: list[Path] = []

    def path(self, name: str) -> Path:
        """The file with the SAEs of a training, which `SAEStack.load` reads."""
        return self.folder / f"{name}.safetensors"

    def record(self, name: str) -> dict[str, Any] | None:
        """Provenance and checksum of a training; None if the training is not on disk."""
        with suppress(OSError, ValueError):
            found = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            return found if self.path(name).is_file() else None
        return None

    def names(self, config: str = "*") -> list[str]:
        """Names of the trainings on disk, of one config's hash or of all; the newest is last."""
        found = [p for p in self.folder.glob(f"{config}-*.json") if self.path(p.stem).is_file()]
        return [p.stem for p in sorted(found, key=lambda p: (p.stat().st_mtime_ns, p.stem))]

    def size(self, name: str = "*") -> int:
        """Bytes on disk of one training, or of all trainings."""
        return sum(p.stat().st_size for p in self.folder.glob(f"{name}.*"))

    def save(self, name: str, run: Run, about: dict[str, Any]) -> None:
        """Write the SAEs of `run`, then the provenance `about`.

        Raises:
            ConfigError: the folder cannot be written, for example because the disk is full.
        """
        assert run.stack is not None
        evaluation = run.evaluation
        measured = {
            "rates": evaluation.rates,
            "explained_variance": evaluation.explained_variance,
        }
        files.make(self.folder, "out")
        with files.usable("out", self.folder), FileLock(self.folder / ".lock"):
            files.sweep(
                self.folder
            )  # partial files of killed processes: this lock keeps others out
            tensors = {EVALUATION + key: value for key, value in measured.items()}
            run.stack.save(self.path(name), tensors)
            record = about | {
                "checksum": _checksum(self.path(name)),
                "frozen": run.frozen,
                "group_size": run.group_size,
            }
            files.write(self.folder / f"{name}.json", json.dumps(record).encode(), "out")

    def load(self, name: str, config: Config) -> Run | None:
        """The run that was given to `save`, with its source opened again.

        Returns:
            None if the training is not on disk. A damaged file is removed and added to `damaged`.
        """
        if (record := self.record(name)) is None:
            return None
        path = self.path(name)
        try:
            if _checksum(path) != record["checksum"]:
                raise ValueError(path)
            stack = SAEStack.load(path, str(resolve_device(config.train.device)))
            with safe_open(path, framework="numpy") as f:
                measured = [f.get_tensor(EVALUATION + k) for k in ("rates", "explained_variance")]
        except (KeyError, ValueError, SafetensorError):
            self.damaged.append(path)
            self.remove(name)
            return None
        frozen = {int(seed): int(step) for seed, step in record["frozen"].items()}
        evaluation = Evaluation(stack.directions(), *measured)
        size = int(record["group_size"])
        return Run(config, config.open(), stack.seeds, frozen, evaluation, size, stack)

    def remove(self, name: str) -> None:
        """Remove a training. The .json file goes first: without it a training does not count."""
        for end in ("json", "safetensors"):
            (self.folder / f"{name}.{end}").unlink(missing_ok=True)

    def save_code(self, code: Fingerprint) -> None:
        """Save a fingerprint, so that a later run can say which definitions changed."""
        path = self.folder / "code" / f"{code.digest}.json"
        if not path.is_file():
            with suppress(ConfigError):  # only a message would be less precise
                files.make(path.parent)
                files.sweep(
                    path.parent
                )  # may remove another run's partial file, which that run can miss
                files.write(path, json.dumps(code.parts).encode())

    def changed(self, before: str, now: Fingerprint) -> list[str]:
        """Definitions that differ between the code with hash `before` and `now`; [] if unknown."""
        with suppress(OSError, ValueError):
            path = self.folder / "code" / f"{before}.json"
            return now.changed(json.loads(path.read_text(encoding="utf-8")))
        return []


def n_bytes(config: Config) -> int:
    """Approximate size on disk of the SAEs of a config, in bytes."""
    sae = config.sae.for_width(config.d_model)
    return config.n_seeds * (4 * (2 * sae.size * config.d_model + 2 * sae.size) + 8 * sae.size)


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
