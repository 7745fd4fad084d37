"""Trained SAEs on disk: what a training leaves, shared by the studies of a results folder.

<out>/trainings/<config>-<code>.safetensors   the SAEs, and what they did on held-out samples
<out>/trainings/<config>-<code>.json          written last: a checksum, and how it was made
<out>/trainings/code/<hash>.json              the definitions that a hash of code stands for

A training is named by the hashes of its config and of the code that computed it, so that another
state of the code is another training.
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
"""How the names of tensors begin that are no parameters."""


class Trainings:
    """The trainings of a results folder.

    Attributes:
        damaged: files that did not match their checksum, and were removed.
    """

    def __init__(self, out: Path):
        self.folder = out / "trainings"
        self.damaged: list[Path] = []

    def path(self, name: str) -> Path:
        """Where the SAEs of a training are: a file for `SAEStack.load`."""
        return self.folder / f"{name}.safetensors"

    def record(self, name: str) -> dict[str, Any] | None:
        """What is known of a training, or None where it is not there."""
        with suppress(OSError, ValueError):
            found = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            return found if self.path(name).is_file() else None
        return None

    def names(self, config: str = "*") -> list[str]:
        """The trainings that are there, of a config's hash or all, the newest last."""
        found = [p for p in self.folder.glob(f"{config}-*.json") if self.path(p.stem).is_file()]
        return [p.stem for p in sorted(found, key=lambda p: (p.stat().st_mtime_ns, p.stem))]

    def size(self, name: str = "*") -> int:
        """The bytes that a training takes, or all of them."""
        return sum(p.stat().st_size for p in self.folder.glob(f"{name}.*"))

    def save(self, name: str, run: Run, about: dict[str, Any]) -> None:
        """Write the SAEs of `run`, then what is known of them. Raises ConfigError for no room."""
        assert run.stack is not None
        seen = run.evaluation
        measured = {"rates": seen.rates, "explained_variance": seen.explained_variance}
        files.make(self.folder, "out")
        with files.usable("out", self.folder), FileLock(self.folder / ".lock"):
            files.sweep(self.folder)  # of a killed process: nobody else writes under this lock
            more = {EVALUATION + key: value for key, value in measured.items()}
            run.stack.save(self.path(name), more)
            record = about | {
                "checksum": _checksum(self.path(name)),
                "frozen": run.frozen,
                "group_size": run.group_size,
            }
            files.write(self.folder / f"{name}.json", json.dumps(record).encode(), "out")

    def load(self, name: str, config: Config) -> Run | None:
        """The run that `save` was given, its source opened again; None where it is not there.

        A damaged file is put on `damaged` and removed.
        """
        if (record := self.record(name)) is None:
            return None
        path = self.path(name)
        try:
            if _checksum(path) != record["checksum"]:
                raise ValueError(path)
            stack = SAEStack.load(path, str(resolve_device(config.train.device)))
            with safe_open(path, framework="numpy") as f:
                seen = [f.get_tensor(EVALUATION + k) for k in ("rates", "explained_variance")]
        except (KeyError, ValueError, SafetensorError):
            self.damaged.append(path)
            self.remove(name)
            return None
        frozen = {int(seed): int(step) for seed, step in record["frozen"].items()}
        evaluation = Evaluation(stack.directions(), *seen)
        size = int(record["group_size"])
        return Run(config, config.open(), stack.seeds, frozen, evaluation, size, stack)

    def remove(self, name: str) -> None:
        """Remove a training; what is known of it first, so that no half of it counts."""
        for end in ("json", "safetensors"):
            (self.folder / f"{name}.{end}").unlink(missing_ok=True)

    def save_code(self, code: Fingerprint) -> None:
        """Write what definitions a hash stands for, to tell later what has changed."""
        path = self.folder / "code" / f"{code.digest}.json"
        if not path.is_file():
            with suppress(ConfigError):  # it only makes a message better
                files.make(path.parent)
                files.sweep(path.parent)  # another run's, too: it does without
                files.write(path, json.dumps(code.parts).encode())

    def changed(self, before: str, now: Fingerprint) -> list[str]:
        """The definitions that differ between a hash of code and `now`; [] where it is unknown."""
        with suppress(OSError, ValueError):
            path = self.folder / "code" / f"{before}.json"
            return now.changed(json.loads(path.read_text(encoding="utf-8")))
        return []


def n_bytes(config: Config) -> int:
    """About what the SAEs of a config take on disk."""
    sae = config.sae.for_width(config.d_model)
    return config.n_seeds * (4 * (2 * sae.size * config.d_model + 2 * sae.size) + 8 * sae.size)


def _checksum(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
