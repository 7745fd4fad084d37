"""Train a stack of SAEs: seeds are trained in groups, and no seed affects another."""

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
from synthsae.train.source import ActivationSource, batch, check_source


@old_attributes({"silent": "samples_since_fired"})
@dataclass
class Trained:
    """The SAEs that `train` returns, and what was recorded during training.

    Attributes:
        stack: the trained SAEs.
        loss: loss of each SAE at its last step, [S]; NaN for a frozen SAE.
        samples_since_fired: number of samples since each latent last fired, [S, M].
        frozen: position in the stack -> step, for each SAE whose loss or gradient stopped being
            finite at that step. A frozen SAE keeps the parameters from before that step.
        group_size: number of seeds that were trained in one matmul. Smaller than planned if memory
            ran out.
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

    A seed gives the same bits alone or in a stack, as long as the size of the groups, the device
    and the number of threads are the same. Groups of another size differ by rounding. If memory
    runs out, training starts again in groups of half the size.

    Args:
        source: where the activations come from.
        sae: architecture and size, the same for every seed.
        config: how the SAEs are trained.
        seeds: the seed of each SAE, [S]. It decides the initial parameters and the data of that
            SAE, unless `config.init` or `config.data` is "shared".
        init_seeds: the seed of the initial parameters of each SAE, [S]; None: `config.init`
            decides.
        data_seeds: the seed of the data of each SAE, [S]; None: `config.data` decides.
        progress: a function that is called with the number of steps done since the last call,
            summed over seeds. The number is negative when training starts again.
        checkpoint: a folder in which each group saves its state every `checkpoint.EVERY` seconds,
            and from which a later call resumes. Use one folder for one source, and remove it once
            the result is saved.

    Raises:
        ConfigError: for a device that does not exist, a `source` that is no source, and for seeds
            of different lengths.
        FloatingPointError: if the loss of every seed stopped being finite. If that of some seeds
            did, `Trained.frozen` names them.
    """
    resolve_device(config.device)
    check_source(source)
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
        raise FloatingPointError(job.failure({seeds[i]: step for i, step in frozen.items()}))
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
    """The part of one call of `train` that does not depend on the size of the groups.

    Attributes:
        source, sae, config: the arguments of `train`.
        init: the seed of each SAE in the stream `init`, [S].
        data: the seed of each SAE in the stream `data`, [S].
        folder: where checkpoints are saved; None for no checkpoints.
    """

    source: ActivationSource
    sae: SAEConfig
    config: TrainConfig
    init: list[int]
    data: list[int]
    folder: Path | None

    def run(self, n: int, progress: Callable[[int], object]) -> list[Trained]:
        """Train all seeds in groups of `n`; the result has one `Trained` for each group."""
        stop, size = Event(), n * seed_bytes(self.sae, self.config, self.source.d_model)
        before = torch.get_num_threads()
        torch.set_num_threads(self.config.threads)
        with ThreadPoolExecutor(n_workers(self.config, size)) as pool:
            starts = range(0, len(self.init), n)
            futures = [pool.submit(self.run_group, i, n, progress, stop) for i in starts]
            try:
                for future in as_completed(futures):
                    future.result()
            finally:  # after an error or Ctrl-C, the groups that are running end at their next step
                stop.set()
                torch.set_num_threads(before)
        return [future.result() for future in futures]

    def run_group(self, i: int, n: int, progress: Callable[[int], object], stop: Event) -> Trained:
        """Train the `n` seeds from position `i` on, from their checkpoint if there is one.

        Training ends early once `stop` is set.
        """
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
                saved.save_if_due(group, last=group.n_done == self.config.n_steps)
        return Trained(group.stack, group.loss, group.samples_since_fired, group.frozen, n)

    def failure(self, frozen: dict[int, int]) -> str:
        """The message of the error that no SAE has a finite loss; `frozen` is seed -> step."""
        step = next(iter(frozen.values()))
        size, device = self.config.batch_size, resolve_device(self.config.device)
        x = batch(self.source, step, size, seed=self.data[0], device=device)
        finite = bool(x.isfinite().all())
        cause = "is train.lr too high?" if finite else "a batch of the source is not finite"
        return f"the loss of every seed stopped being finite ({cause}); steps by seed: {frozen}"


def _train_in_groups(job: _Job, n: int, progress: Callable[[int], object]) -> list[Trained]:
    """Train in groups of `n` seeds; if memory runs out, start again in groups of half the size."""
    done: list[int] = []

    def count(steps: int) -> None:
        done.append(steps)
        progress(steps)

    try:
        return job.run(n, count)
    except (MemoryError, RuntimeError) as error:
        if n == 1 or not _out_of_memory(error):
            raise
    gc.collect()  # the traceback of the error is in a cycle that holds the arrays of the groups
    progress(-sum(done))
    n = -(-n // 2)
    warnings.warn(f"out of memory: training starts again in groups of {n} seeds", stacklevel=3)
    return _train_in_groups(job, n, progress)


def _out_of_memory(error: Exception) -> bool:
    """Whether NumPy, PyTorch on a CPU or PyTorch on a GPU could not allocate memory."""
    known = isinstance(error, MemoryError | torch.OutOfMemoryError)
    return known or any(text in str(error) for text in ("can't allocate memory", "bad_alloc"))
