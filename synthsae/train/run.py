"""Training of a stack: groups of seeds side by side, none of which can notice the others."""

import gc
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from reprlib import repr as short
from threading import Event

import torch
from torch import Tensor

from synthsae.checks import ConfigError
from synthsae.deprecated import old_attributes
from synthsae.sae import SAEConfig, SAEStack
from synthsae.train.checkpoint import Checkpoint
from synthsae.train.config import TrainConfig, resolve_device
from synthsae.train.group import Group
from synthsae.train.memory import group_size, keep_freed_memory, n_workers, seed_bytes
from synthsae.train.source import ActivationSource, batch, check


@old_attributes({"silent": "samples_since_fired"})
@dataclass
class Trained:
    """What training leaves: the SAEs, and what was watched on the way.

    Attributes:
        stack: the trained SAEs.
        loss: loss of the last step of each SAE, [S]; NaN where it is frozen.
        samples_since_fired: samples since each latent last fired, [S, M].
        frozen: for each SAE whose loss or gradient stopped being finite, its position in the stack
            and that step. It keeps the parameters it had before the step.
        group_size: seeds that shared a matmul: fewer than planned where memory ran out.
    """

    stack: SAEStack
    loss: Tensor
    samples_since_fired: Tensor
    frozen: dict[int, int]
    group_size: int

    def __repr__(self) -> str:
        loss = ", ".join(f"{float(v):.3g}" for v in (self.loss.min(), self.loss.max()))
        return f"Trained({self.stack!r}, loss in [{loss}], frozen={short(self.frozen)})"


def train(
    source: ActivationSource,
    sae: SAEConfig,
    config: TrainConfig,
    *,
    seeds: Sequence[int],
    init_seeds: Sequence[int] | None = None,
    data_seeds: Sequence[int] | None = None,
    progress: Callable[[int], object] = lambda steps: None,
    checkpoint: Path | str | None = None,
) -> Trained:
    """Train one SAE for each of `seeds` on `source`.

    A seed names an SAE and fixes its start and its data, unless the config says that all share one
    of them, or `init_seeds` and `data_seeds` give them one by one. The same seeds give the same
    bits alone or in a stack, in groups of the same size, on the same device and number of threads;
    groups of other sizes differ by rounding. `progress` is called with the number of seed-steps
    done since the last call. With a folder `checkpoint`, groups save their state there every
    `checkpoint.EVERY` seconds and go on from what they find: remove it when the result is safe, and
    use it for one source only. Where memory runs out, groups are halved and start again.
    Raises ConfigError where the device does not exist or `source` is no source, and
    FloatingPointError where no seed stayed finite; of those that did not, `frozen` tells.
    """
    resolve_device(config.device)
    check(source)
    keep_freed_memory()
    seeds = [int(seed) for seed in seeds]
    sae = sae.for_width(source.d_model)
    init = config.init_seeds(seeds) if init_seeds is None else [int(s) for s in init_seeds]
    data = config.data_seeds(seeds) if data_seeds is None else [int(s) for s in data_seeds]
    if not 0 < len(seeds) == len(init) == len(data):
        lengths = f"{len(seeds)}, {len(init)} and {len(data)}"
        raise ConfigError("seeds, init_seeds, data_seeds", lengths, "one length, 1 or more")
    job = _Job(source, sae, config, init, data, Path(checkpoint) if checkpoint else None)
    n = min(len(seeds), group_size(sae, config, len(seeds), source.d_model))
    parts = _train_in_groups(job, n, progress)
    n = parts[0].group_size
    frozen = {i * n + s: step for i, p in enumerate(parts) for s, step in p.frozen.items()}
    if len(frozen) == len(seeds):
        raise FloatingPointError(job.why({seeds[i]: step for i, step in frozen.items()}))
    params = {k: torch.cat([p.stack.params[k] for p in parts]) for k in parts[0].stack.params}
    return Trained(
        SAEStack(sae, tuple(seeds), params),
        torch.cat([p.loss for p in parts]),
        torch.cat([p.samples_since_fired for p in parts]),
        frozen,
        n,
    )


@dataclass(frozen=True)
class _Job:
    """One call of `train`: all that does not depend on how the seeds are grouped."""

    source: ActivationSource
    sae: SAEConfig
    config: TrainConfig
    init: list[int]
    data: list[int]
    folder: Path | None

    def run(self, n: int, progress: Callable[[int], object]) -> list[Trained]:
        """Train all seeds in groups of `n`."""
        stop, size = Event(), n * seed_bytes(self.sae, self.config, self.source.d_model)
        before = torch.get_num_threads()
        torch.set_num_threads(self.config.threads)
        with ThreadPoolExecutor(n_workers(self.config, size)) as pool:
            starts = range(0, len(self.init), n)
            futures = [pool.submit(self.run_group, i, n, progress, stop) for i in starts]
            try:
                for future in as_completed(futures):
                    future.result()
            finally:  # after an error or Ctrl-C, groups still running end at their next step
                stop.set()
                torch.set_num_threads(before)
        return [future.result() for future in futures]

    def run_group(self, i: int, n: int, progress: Callable[[int], object], stop: Event) -> Trained:
        """Train the seeds from the `i`-th on, `n` of them, from their checkpoint or the start."""
        init, data = self.init[i : i + n], self.data[i : i + n]
        device = resolve_device(self.config.device)
        stack = SAEStack.init(self.sae, self.source.d_model, init, device)
        group, saved = Group(self.source, stack, self.config, data), None
        if self.folder is not None:
            identity = [asdict(self.sae), asdict(self.config), self.source.d_model, init, data]
            saved = Checkpoint(self.folder, f"seeds-{i}-{i + len(init) - 1}", identity)
            progress(len(init) * saved.resume(group))
        while group.n_done < self.config.n_steps and not stop.is_set():
            group.step()
            progress(len(init))
            if saved:
                saved.tick(group, last=group.n_done == self.config.n_steps)
        return Trained(group.stack, group.loss, group.samples_since_fired, group.frozen, n)

    def why(self, frozen: dict[int, int]) -> str:
        """What became of a training of which no seed is left: seed -> step."""
        step = next(iter(frozen.values()))
        size, device = self.config.batch_size, resolve_device(self.config.device)
        x = batch(self.source, step, size, seed=self.data[0], device=device)
        source = "as this batch of the source is not" if not x.isfinite().all() else "at this rate"
        return f"no seed's loss stayed finite, {source}; by seed, the step: {frozen}"


def _train_in_groups(job: _Job, n: int, progress: Callable[[int], object]) -> list[Trained]:
    """Train in groups of `n` seeds, or of half as many where memory runs out."""
    done: list[int] = []

    def count(steps: int) -> None:
        done.append(steps)
        progress(steps)

    try:
        return job.run(n, count)
    except (MemoryError, RuntimeError) as error:
        if n == 1 or not _out_of_memory(error):
            raise
    gc.collect()  # what failed holds its arrays, in a cycle through the traceback
    progress(-sum(done))
    n = -(-n // 2)
    warnings.warn(f"out of memory: from here {n} seeds share a matmul", stacklevel=3)
    return _train_in_groups(job, n, progress)


def _out_of_memory(error: Exception) -> bool:
    """Whether NumPy, torch on a CPU or torch on a GPU could not allocate."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(text in str(error) for text in ("can't allocate memory", "bad_alloc"))
