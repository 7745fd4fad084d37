"""A training replayed from CUDA graphs is the one launched step by step, bit for bit.

CUDA's recording is played by a fake: operations and launches of Triton's kernels are noted with the
tensors they touched, what they changed is changed back, and a replay does them again on the same
tensors. So a number of the host stays as it was when it was recorded, as does the place of every
tensor. All tensors say that they are on a GPU.
"""

from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import ClassVar

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_iter
from triton.runtime import KernelInterface

import synthsae.train.dead_latents as dead_latents
import synthsae.train.graph as graph
from synthsae import doctor
from synthsae.sae import ARCHITECTURES, SAEConfig, SAEStack, auxk, cuda, cuda_kernels, kernels
from synthsae.train import TrainConfig, adam_cuda
from synthsae.train.group import Group

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason="kernels are compiled; test_on_gpu.py replays in earnest"
)

S, B, D, M, K = 2, 6, 4, 8, 1


def tensors(tree):
    return [t for t in tree_iter(tree) if isinstance(t, torch.Tensor)]


class Recording(TorchDispatchMode):
    """What is done under it, to be done again; `undo` takes it back."""

    current = None

    def __init__(self):
        super().__init__()
        self.calls, self.before, self.made = [], {}, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return self.add(lambda: func(*args, **(kwargs or {})), (args, kwargs))

    def add(self, call, touched):
        for t in tensors(touched):
            storage = t.untyped_storage()
            self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        out = call()
        new = {t.untyped_storage().data_ptr(): t.untyped_storage() for t in tensors(out)}
        self.made |= {at: storage for at, storage in new.items() if at not in self.before}
        self.calls.append((call, touched, out))
        return out

    def undo(self):
        for storage, before in self.before.values():
            storage.copy_(before)
        self.leave()

    def leave(self):
        """What was made on the way is soon written over: nobody may look at it."""
        for storage in self.made.values():
            storage.fill_(255)

    def redo(self):
        for call, _, out in self.calls:
            for mine, new in zip(tensors(out), tensors(call()), strict=True):
                if mine.data_ptr() != new.data_ptr():
                    mine.copy_(new)
        self.leave()


class Launcher:
    """A kernel of Triton whose launches are recorded."""

    def __init__(self, kernel):
        self.kernel = kernel

    def __getitem__(self, grid):
        def launch(*args, **how):
            def call():
                self.kernel[grid](*args, **how)

            with _disable_current_modes():
                return Recording.current.add(call, args) if Recording.current else call()

        return launch


class FakeGraph:
    """Stands for torch.cuda.CUDAGraph."""

    made: ClassVar[list["FakeGraph"]] = []

    def __init__(self):
        self.recording, self.replays = Recording(), 0
        FakeGraph.made.append(self)

    def pool(self):
        return "pool"

    def replay(self):
        self.replays += 1
        self.recording.redo()


@contextmanager
def record(fake, pool, capture_error_mode):
    """Stands for torch.cuda.graph."""
    assert (pool is None) == (fake is FakeGraph.made[0])
    Recording.current = fake.recording
    try:
        with fake.recording:
            yield
    finally:
        Recording.current = None
        fake.recording.undo()


@pytest.fixture
def gpu(monkeypatch):
    """A GPU as far as this package can see, with the sparse kernels' plain twins."""
    monkeypatch.setattr(torch.Tensor, "is_cuda", True)
    monkeypatch.setattr("synthsae.train.adam.usable", lambda kernel, x: True)
    for module in (cuda_kernels, adam_cuda):
        for name, kernel in vars(module).copy().items():
            if isinstance(kernel, KernelInterface) and not name.startswith("_"):
                monkeypatch.setattr(module, name, Launcher(kernel))
    for name, fake in (("CUDAGraph", FakeGraph), ("graph", record), ("current_stream", object)):
        monkeypatch.setattr(torch.cuda, name, fake)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(FakeGraph, "made", [])
    monkeypatch.setattr(dead_latents, "copy_to_host", lambda number: number.clone().item)
    monkeypatch.setattr(dead_latents, "EVERY", 2)
    for module in (auxk, graph):
        monkeypatch.setattr(module, "CHUNK", 2)
    monkeypatch.setattr(kernels, "_cuda", lambda x, kernel: None)


class Source:
    """Batches in which less and less varies, then more; one of them may not be finite."""

    d_model = D

    def __init__(self, bad=None):
        self.bad = bad

    def batch(self, t, size, *, seed, stream="data", device="cpu"):
        g = torch.Generator().manual_seed(1000 * seed + t)
        x = torch.randn(size, D, generator=g)
        if 5 <= t < 14:
            x[:, 1:] *= 1e-3
        return x * torch.nan if (t, seed) == self.bad else x


def group(source, arch="topk", seeds=range(S), dead_after=10**6):
    config = TrainConfig(
        n_steps=30, batch_size=B, lr=0.02, warmup=0.3, decay=0.5, dead_after=dead_after,
        precision="float32",
    )  # fmt: skip
    sae = SAEConfig(arch=arch, n_latents=M, k=K)
    return Group(source, SAEStack.init(sae, D, range(S)), config, seeds)


def copied(g):
    return {name: t.clone() for name, t in g.state().items()}


def train(g, n_steps):
    """The state after each step."""
    states = []
    for _ in range(n_steps):
        g.step()
        states.append(copied(g))
    return states


def assert_same(got, want):
    for step, (a, b) in enumerate(zip(got, want, strict=True)):
        assert a.keys() == b.keys()
        for name, t in a.items():
            assert torch.equal(t.nan_to_num(7), b[name].nan_to_num(7)), (step, name)


def launched(monkeypatch, *args, n_steps, **how):
    """The states of a group that knows no graphs."""
    with monkeypatch.context() as m:
        m.setattr(graph, "MAX_PRE_ACTIVATIONS", 0)
        g = group(*args, **how)
    assert g.graphs is None
    return train(g, n_steps)


@pytest.mark.slow
def test_replayed_steps_have_the_bits_of_launched_ones(monkeypatch, gpu):
    """With rates that rise and fall, latents that die and come back, and an SAE that freezes."""
    source = Source(bad=(17, 1))
    replayed = group(source, dead_after=4 * B)
    got = train(replayed, 20)
    assert replayed.frozen == {1: 17}
    assert len({int((s["samples_since_fired"] >= 4 * B).sum()) for s in got}) > 3
    assert len(FakeGraph.made) >= 2  # with and without AuxK; how many bounds depends on rounding
    assert all(g.replays > 0 for g in FakeGraph.made)
    assert_same(got, launched(monkeypatch, source, dead_after=4 * B, n_steps=20))


@pytest.mark.parametrize("arch", [n for n, a in ARCHITECTURES.items() if a.static and n != "topk"])
def test_other_architectures_are_replayed_too(monkeypatch, gpu, arch):
    got = train(group(Source(), arch), graph.WARM_UP + 2)
    assert [g.replays for g in FakeGraph.made] == [2]
    assert_same(got, launched(monkeypatch, Source(), arch, n_steps=graph.WARM_UP + 2))


@pytest.mark.slow
def test_launches_of_kernels_are_replayed(monkeypatch, gpu):
    """TopK by all its kernels; data that all seeds share have one batch for all."""
    monkeypatch.setattr(kernels, "_cuda", lambda x, kernel: cuda)
    monkeypatch.setattr(kernels, "DENSE_BELOW", 0)
    got = train(group(Source(), seeds=[0] * S), graph.WARM_UP + 2)
    assert [g.replays for g in FakeGraph.made] == [2]
    assert_same(got, launched(monkeypatch, Source(), seeds=[0] * S, n_steps=graph.WARM_UP + 2))


def test_a_return_to_a_checkpoint_goes_on_from_the_graph(gpu):
    g = group(Source())
    (at,) = train(g, graph.WARM_UP + 2)[-1:]
    want = train(g, 2)
    g.restore(at)
    assert_same(train(g, 2), want)
    assert [g.replays for g in FakeGraph.made] == [2 + 2 + 2]


@pytest.mark.parametrize("kind", [RuntimeError, ValueError])
@pytest.mark.parametrize("at", ["record", "replay"])
def test_where_a_graph_fails_steps_are_launched_and_one_line_says_so(
    monkeypatch, gpu, capsys, kind, at
):
    def broken(*_, **how):
        raise kind("operation not permitted when stream is capturing")

    owner, name = (torch.cuda, "graph") if at == "record" else (FakeGraph, "replay")
    monkeypatch.setattr(owner, name, broken)
    g = group(Source())
    got = train(g, graph.WARM_UP + 2)
    (line,) = capsys.readouterr().err.splitlines()
    assert "operation not permitted" in line
    assert g.graphs.reason in line
    assert_same(got, launched(monkeypatch, Source(), n_steps=graph.WARM_UP + 2))


def test_a_graph_that_does_something_else_is_given_up(monkeypatch, gpu, capsys):
    """Steps before, at and after the comparison are those without graphs."""
    redo = Recording.redo

    def wrong(recording):
        redo(recording)
        recording.calls[-1][1][0][0].add_(1)

    monkeypatch.setattr(Recording, "redo", wrong)
    g = group(Source())
    got = train(g, graph.WARM_UP + 3)
    (line,) = capsys.readouterr().err.splitlines()
    assert "differs" in g.graphs.reason
    assert g.graphs.reason in line
    assert [g.replays for g in FakeGraph.made] == [1]
    assert_same(got, launched(monkeypatch, Source(), n_steps=graph.WARM_UP + 3))


def test_everything_that_a_step_changes_is_compared(gpu):
    """No tensor of the group or of its optimiser is left out."""
    g = group(Source())
    known = {t.data_ptr() for t in g._changed()}
    owners = (g, g._adam, g.stack)
    held = [t for each in owners for v in vars(each).values() for t in tensors(v)]
    assert {t.data_ptr() for t in held if t.numel()} == known | {g._adam._correction.data_ptr()}


def test_the_doctor_tries_a_graph(monkeypatch, gpu, capsys):
    monkeypatch.setattr("synthsae.world.source.usable", lambda kernel, x: False)
    monkeypatch.setattr(kernels, "DENSE_BELOW", 10**6)  # the twins of sparse codes are not recorded
    assert doctor.graph(torch.device("cpu")) == ""
    assert [g.replays for g in FakeGraph.made] == [2]
    monkeypatch.setattr(FakeGraph, "made", [])
    monkeypatch.setattr(Recording, "redo", lambda recording: None)
    assert "differs" in doctor.graph(torch.device("cpu"))
    monkeypatch.setattr("synthsae.train.adam.usable", lambda kernel, x: False)
    assert "optimiser" in doctor.graph(torch.device("cpu"))
    assert capsys.readouterr().err == ""


def test_which_groups_are_replayed(monkeypatch):
    small = SAEConfig(n_latents=512, k=8)
    assert graph.graphs_help(small, 64, 4096)
    assert not graph.graphs_help(small, 64, 4096 * 4)
    assert not graph.graphs_help(replace(small, arch="batchtopk"), 1, 64)


@pytest.mark.parametrize(
    ("max_dead", "want"), [(0, 0), (1, 256), (256, 256), (257, 512), (513, 1024), (1024, 1024)]
)
def test_a_few_graphs_suffice(max_dead, want):
    assert graph.rounded(max_dead) == want
