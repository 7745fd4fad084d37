"""A kernel that is wrong, slow or broken is replaced by its plain twin, and one line says so.

The kernels are fakes on the CPU, where nothing asks for a GPU's name or driver.
"""

import json
import os
import subprocess
import sys
import threading
import time
from importlib import import_module
from types import SimpleNamespace

import pytest
import torch

from synthsae import gpu, guard
from synthsae.checks import ConfigError
from synthsae.guard import Case

CPU = torch.device("cpu")
X = torch.arange(12.0).view(3, 4) - 5
KERNEL = "fake.double"


class OnGPU:
    """A tensor on a GPU, as far as `gpu` asks."""

    is_cuda, device = True, CPU


class Fake:
    """A kernel that doubles, its plain twin, and how often each was called."""

    def __init__(self):
        self.calls = self.twin_calls = 0
        self.compute = lambda: [2 * X]

    def kernel(self):
        self.calls += 1
        return self.compute()

    def twin(self):
        self.twin_calls += 1
        return [X + X]

    def cases(self, device):
        assert not gpu.usable(KERNEL, OnGPU())  # the twin asks for no kernel
        yield Case(self.kernel, self.twin)


@pytest.fixture
def fake(monkeypatch, tmp_path):
    """The kernel "fake.double" in a process that has checked nothing, of a user without a cache."""
    found = Fake()
    module = SimpleNamespace(CHECKS={"double": found.cases})
    monkeypatch.setitem(sys.modules, "synthsae.fake.cuda_check", module)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gpu, "_usable", {})
    monkeypatch.setattr(gpu, "find_spec", lambda name: name == "triton")
    return found


def new_process():
    gpu._usable.clear()


def stored(tmp_path):
    return json.loads((tmp_path / "synthsae" / "kernels.json").read_text())


def fails():
    raise RuntimeError("PTX was compiled with an unsupported toolchain\n  at line 3")


def slow():
    time.sleep(0.06)
    return [2 * X]


class Unsteady:
    """Right, but not with the same bits twice."""

    n = 0

    def __call__(self):
        self.n += 1
        return [2 * X * (1 + self.n * 1e-6)]


BROKEN = {
    "wrong": (lambda: [2 * X + torch.eye(3, 4)], "off by 1.0e+00 of 1.2e+01"),
    "slightly wrong": (lambda: [2 * X + 2e-3], "off by"),
    "not finite": (lambda: [2 * X / 0], "off by"),
    "too short": (lambda: [2 * X[:2]], "another shape or type"),
    "another type": (lambda: [2 * X.double()], "another shape or type"),
    "two results": (lambda: [2 * X, X], "another shape or type"),
    "slow": (slow, "ms, its plain twin"),
    "unsteady": (Unsteady(), "other bits"),
    "raises": (fails, "RuntimeError: PTX was compiled with an unsupported toolchain at line 3"),
}


@pytest.mark.parametrize(("compute", "why"), BROKEN.values(), ids=BROKEN)
def test_a_broken_kernel_is_replaced_and_one_line_says_so(fake, capsys, compute, why):
    fake.compute = compute
    for _ in range(3):
        assert not gpu.usable(KERNEL, OnGPU())
    (line,) = capsys.readouterr().err.splitlines()
    for part in (KERNEL, why, "synthsae doctor"):
        assert part in line


def test_a_good_kernel_is_used_silently_and_checked_once(fake, capsys, tmp_path):
    assert gpu.usable(KERNEL, OnGPU())
    calls = fake.calls
    assert calls > 0
    for _ in range(2):
        assert gpu.usable(KERNEL, OnGPU())
        new_process()
    assert fake.calls == calls
    assert capsys.readouterr().err == ""
    assert stored(tmp_path) == {guard.setup(CPU): {KERNEL: "ok"}}


def test_the_twin_uses_no_kernel_even_one_that_is_right(fake):
    """Not when it is compared first, nor when it is compared again."""
    asked = []

    def cases(device):
        asked.extend(gpu.usable(each, OnGPU()) for each in (KERNEL, "fake.other"))
        yield Case(fake.kernel, fake.twin)

    sys.modules["synthsae.fake.cuda_check"].CHECKS |= {"double": cases, "other": fake.cases}
    assert gpu.usable("fake.other", OnGPU())
    assert gpu.usable(KERNEL, OnGPU())
    assert gpu.check(KERNEL, CPU, again=True) == ""
    assert asked == [False] * 4
    assert gpu.usable(KERNEL, OnGPU())
    assert gpu.usable("fake.other", OnGPU())


def test_a_cpu_and_a_machine_without_triton_check_nothing(fake, monkeypatch, capsys):
    assert not gpu.usable(KERNEL, X)
    monkeypatch.setattr(gpu, "find_spec", lambda name: None)
    assert not gpu.usable(KERNEL, OnGPU())
    assert fake.calls == 0
    assert capsys.readouterr().err == ""


def test_integers_have_to_be_equal(fake):
    fake.twin = lambda: [torch.arange(5)]
    fake.compute = lambda: [torch.arange(5)]
    assert gpu.check(KERNEL, CPU) == ""
    fake.compute = lambda: [torch.tensor([0, 1, 2, 3, 5])]
    assert gpu.check(KERNEL, CPU, again=True) == "1 of 5 integers are wrong"


def test_a_failure_is_remembered_until_it_is_checked_again(fake, capsys):
    fake.compute = fails
    gpu.usable(KERNEL, OnGPU())
    calls, first = fake.calls, capsys.readouterr().err
    new_process()
    gpu.usable(KERNEL, OnGPU())
    assert fake.calls == calls
    assert capsys.readouterr().err == first
    fake.compute = lambda: [2 * X]
    assert gpu.check(KERNEL, CPU, again=True) == ""
    new_process()
    assert gpu.usable(KERNEL, OnGPU())


def test_another_driver_or_other_code_is_checked_again(fake, monkeypatch):
    gpu.check(KERNEL, CPU)
    calls = fake.calls
    monkeypatch.setattr(guard, "setup", lambda device: "another driver")
    gpu.check(KERNEL, CPU)
    assert fake.calls > calls


def test_the_setup_says_what_a_verdict_depends_on(monkeypatch):
    words = guard.setup(CPU)
    assert words.startswith("cpu, driver ")
    assert f"torch {torch.__version__}, triton " in words
    read = guard.Path.read_bytes
    monkeypatch.setattr(
        guard.Path, "read_bytes", lambda path: read(path) + b"#" * (path.name == "adam_cuda.py")
    )
    guard.setup.cache_clear()
    assert guard.setup(CPU) != words
    guard.setup.cache_clear()


DAMAGED = [b"", b"[]", b'{"a": 1}', b"\xff\x00", b'{"cpu": {"fake.double"', b"null"]


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_written_anew(fake, tmp_path, text):
    (tmp_path / "synthsae").mkdir()
    (tmp_path / "synthsae" / "kernels.json").write_bytes(text)
    assert gpu.check(KERNEL, CPU) == ""
    assert stored(tmp_path) == {guard.setup(CPU): {KERNEL: "ok"}}


@pytest.mark.parametrize("folder", ["a file", "no folder", "no home"])
def test_without_a_folder_that_can_be_written_kernels_are_checked_each_time(
    fake, tmp_path, monkeypatch, folder
):
    (tmp_path / "file").write_text("")
    place = {"a file": tmp_path / "file", "no folder": "/proc/none", "no home": ""}[folder]
    monkeypatch.setenv("XDG_CACHE_HOME", str(place))
    if folder == "no home":

        def lost():
            raise RuntimeError("Could not determine home directory.")

        monkeypatch.setattr(guard.Path, "home", lost)
    for _ in range(2):
        assert gpu.usable(KERNEL, OnGPU())
        new_process()
    assert fake.twin_calls >= 4
    assert os.listdir(tmp_path) == ["file"]


DIES = """
import os, sys
sys.path.insert(0, {tests!r})
import test_guard, torch
from types import SimpleNamespace
from synthsae import gpu
found = test_guard.Fake()
found.cases = lambda device: iter([test_guard.Case(lambda: os._exit(7), found.twin)])
sys.modules["synthsae.fake.cuda_check"] = SimpleNamespace(CHECKS={{"double": found.cases}})
gpu.check(test_guard.KERNEL, torch.device("cpu"))
"""


def test_a_kernel_that_ends_the_process_is_not_tried_again(fake, capsys):
    code = DIES.format(tests=os.path.dirname(__file__))
    assert subprocess.run([sys.executable, "-c", code]).returncode == 7
    assert not gpu.usable(KERNEL, OnGPU())
    assert "crashed" in capsys.readouterr().err
    assert fake.calls == 0


def test_a_process_that_still_checks_is_no_crash(fake):
    guard._record(KERNEL, CPU, f"{guard.CHECKING} {guard.platform.node()} {os.getppid()}")
    assert gpu.check(KERNEL, CPU) == ""
    guard._record(KERNEL, CPU, f"{guard.CHECKING} another-host 1")
    assert gpu.check(KERNEL, CPU) == ""


@pytest.mark.parametrize("error", [KeyboardInterrupt, torch.OutOfMemoryError])
def test_an_interrupt_and_a_lack_of_memory_are_no_verdict(fake, capsys, tmp_path, error):
    def stop():
        raise error

    fake.compute = stop
    with pytest.raises(error):
        gpu.usable(KERNEL, OnGPU())
    assert stored(tmp_path) == {guard.setup(CPU): {}}
    fake.compute = lambda: [2 * X]
    assert gpu.usable(KERNEL, OnGPU())
    assert capsys.readouterr().err == ""


def test_a_kernel_that_takes_the_device_with_it_is_one_line_and_remembered(
    fake, monkeypatch, capsys
):
    monkeypatch.setattr(guard, "_lost", lambda device: "CUDA error: an illegal memory access")
    fake.compute = fails
    with pytest.raises(ConfigError) as raised:
        gpu.usable(KERNEL, OnGPU())
    assert raised.value.field == "device"
    assert KERNEL in raised.value.allowed
    assert not gpu.usable(KERNEL, OnGPU())
    assert KERNEL in capsys.readouterr().err


def test_a_kernel_that_never_ends_is_found(monkeypatch):
    device = SimpleNamespace(type="cuda")
    event = SimpleNamespace(record=lambda: None, query=lambda: False)
    monkeypatch.setattr(torch.cuda, "Event", lambda: event)
    monkeypatch.setattr(guard, "HANGS", 0.05)
    with pytest.raises(TimeoutError, match="did not end within"):
        guard._wait(device)
    assert "did not end" in guard._lost(device)


def test_threads_check_once_and_all_wait_for_the_verdict(fake):
    fake.compute = lambda: time.sleep(0.01) or [2 * X]
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(gpu.usable(KERNEL, OnGPU()))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [True] * 4
    assert fake.calls <= guard.REPEATS + 2


def use(compute):
    """What a caller of a kernel does."""
    if gpu.usable(KERNEL, OnGPU()):
        with gpu.falling_back(KERNEL, OnGPU()):
            return compute()
    return "twin"


def test_a_kernel_that_fails_at_a_real_size_is_replaced(fake, capsys):
    assert use(lambda: "kernel") == "kernel"
    assert use(fails) == "twin"
    assert use(lambda: "kernel") == "twin"
    assert capsys.readouterr().err.count("\n") == 1
    new_process()
    assert use(lambda: "kernel") == "kernel"


@pytest.mark.parametrize("error", [KeyboardInterrupt, torch.OutOfMemoryError, SystemExit])
def test_what_is_not_the_kernels_fault_is_raised(fake, error):
    def stop():
        raise error

    with pytest.raises(error):
        use(stop)
    assert use(lambda: "kernel") == "kernel"


def test_an_error_while_a_graph_is_recorded_is_raised(fake, monkeypatch):
    for name in ("is_available", "is_current_stream_capturing"):
        monkeypatch.setattr(torch.cuda, name, lambda: True)
    with pytest.raises(RuntimeError, match="PTX"):
        use(fails)


@pytest.fixture
def device(monkeypatch, tmp_path):
    """A GPU, or the CPU, on which kernels are interpreted: slowly, and so only a few times."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gpu, "_usable", {})
    if torch.cuda.is_available():
        return torch.device("cuda", torch.cuda.current_device())
    monkeypatch.setattr(guard, "REPEATS", 1)
    monkeypatch.setattr(guard, "SLOW_SECONDS", 1e6)
    monkeypatch.setattr("synthsae.sae.cuda.WINDOW", 32)
    return CPU


@pytest.mark.slow
@pytest.mark.parametrize("kernel", guard.KERNELS)
def test_our_kernels_agree_with_their_twins(kernel, device):
    assert gpu.check(kernel, device, again=True) == ""


@pytest.mark.slow
def test_every_kernel_has_a_check():
    rooms = {kernel.partition(".")[0] for kernel in guard.KERNELS}
    found = {
        f"{room}.{name}"
        for room in rooms
        for name in import_module(f"synthsae.{room}.cuda_check").CHECKS
    }
    assert found == {*guard.KERNELS}


SPOILT = {
    "sae.top": [("top", lambda code: code._replace(values=code.values + 1e-2))],
    "sae.inner_products": [("inner_products", lambda dots: dots * 1.01)],
    "sae.residual": [
        ("residual", lambda found: (found[0], -found[1])),
        ("residual", lambda found: (found[0] * 1.01, found[1])),
    ],
    "sae.weight_gradients": [
        ("weight_gradients", lambda found: found[::-1]),
        ("weight_gradients", lambda found: (found[0] * 1.01, found[1])),
    ],
    "train.adam": [("squares", lambda found: found * 1.01)],
    "world.draw": [("batches", lambda x: x.flip(1)), ("magnitudes", lambda x: x * 1.01)],
}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kernel", "launcher", "spoil"), [(k, *each) for k, many in SPOILT.items() for each in many]
)
def test_a_spoilt_kernel_of_ours_is_found(kernel, launcher, spoil, device, monkeypatch):
    """The launcher does what it should, and then something else."""
    home = {"sae": "sae.cuda", "train": "train.adam_cuda", "world": "world.cuda"}
    module = import_module(f"synthsae.{home[kernel.partition('.')[0]]}")
    launch = getattr(module, launcher)
    monkeypatch.setattr(module, launcher, lambda *args: spoil(launch(*args)))
    assert "off by" in gpu.check(kernel, device, again=True)
