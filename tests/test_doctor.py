"""The report of `synthsae doctor` on machines that are not there."""

import json
import subprocess
import sys

import pytest
import torch

from synthsae import doctor, gpu, guard
from synthsae.checks import ConfigError

GPU = torch.device("cuda")


@pytest.fixture
def a_gpu(monkeypatch):
    """A GPU all of whose kernels are right; the verdicts may be changed."""
    verdicts = dict.fromkeys((*guard.KERNELS, doctor.GRAPH), "")

    def verdict(kernel, device, again):
        assert again
        assert device == torch.device("cuda", 0)
        if isinstance(verdicts[kernel], Exception):
            raise verdicts[kernel]
        return verdicts[kernel]

    monkeypatch.setattr(doctor, "resolve_device", lambda name: GPU)
    monkeypatch.setattr(doctor, "_speed", lambda size, device: 2.5)
    monkeypatch.setattr(doctor, "graph", lambda device: verdicts[doctor.GRAPH])
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "NVIDIA H100")
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**35, 2**36))
    monkeypatch.setattr(gpu, "check", verdict)
    return verdicts


def said(capsys):
    """The lines, and what the block at their end holds."""
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) <= 25
    assert lines[-3::2] == ["```json", "```"]
    return "\n".join(lines[:-4]), json.loads(lines[-2])


def test_a_gpu_on_which_all_is_well(a_gpu, capsys):
    assert doctor.main([]) == 0
    text, block = said(capsys)
    assert "NVIDIA H100, 64.0 GiB, driver" in text
    assert "All is well." in text
    assert "ok: sae.top, " in text
    assert block["kernels"] == dict.fromkeys(a_gpu, "ok")


def test_what_is_replaced_is_said_with_the_reason_and_is_status_1(a_gpu, capsys):
    a_gpu["sae.residual"], a_gpu[doctor.GRAPH] = "its result is off", "bits differ"
    assert doctor.main([]) == 1
    text, block = said(capsys)
    assert "replaced: sae.residual: its result is off" in text
    assert f"replaced: {doctor.GRAPH}: bits differ" in text
    assert block["kernels"]["sae.residual"] == "its result is off"


def test_all_at_once_fits_the_screen(a_gpu, monkeypatch, capsys):
    a_gpu |= dict.fromkeys(a_gpu, "RuntimeError: " + 160 * "x")
    monkeypatch.setattr(doctor, "_installed", lambda package: False)
    monkeypatch.setattr(doctor, "kernels", lambda device: a_gpu)
    assert doctor.main([]) == 1
    text, block = said(capsys)
    assert text.count("replaced: ") == len(a_gpu)
    assert "extra 'real' is missing: " in text
    assert "transformer-lens" in block["missing"]["real"]
    assert block["missing"].keys() == {"real", "cluster"}


@pytest.mark.parametrize(
    "error", [ConfigError("device", "cuda:0, lost", "again"), torch.OutOfMemoryError("none left")]
)
def test_a_device_that_is_lost_ends_the_checks(a_gpu, capsys, error):
    a_gpu["sae.residual"] = error
    assert doctor.main([]) == 1
    _, block = said(capsys)
    assert list(block["kernels"]) == ["sae.top", "sae.inner_products", "sae.residual"]
    assert "not checked" in block["kernels"]["sae.residual"]


def test_a_gpu_without_triton(a_gpu, monkeypatch, capsys):
    monkeypatch.setattr(guard, "triton_version", lambda: "missing")
    assert doctor.main([]) == 0
    text, block = said(capsys)
    assert "triton missing" in text
    assert block["kernels"] == {}


def test_a_driver_that_torch_cannot_use(monkeypatch):
    monkeypatch.setattr(guard, "driver", lambda: "550.54")
    assert doctor.graphics_card(torch.device("cpu")).endswith("but NVIDIA driver 550.54")


def test_without_triton_the_doctor_works_and_nothing_is_missed():
    code = "import sys; sys.modules['triton'] = None; from synthsae import doctor; doctor.main([])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "triton missing" in done.stdout
    assert "All is well." in done.stdout
    assert done.stderr == ""


def test_what_the_doctor_finds_holds_in_the_next_process(monkeypatch, tmp_path):
    """A kernel that was replaced is used again, once it has passed."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(gpu, "_usable", {})
    monkeypatch.setattr(gpu, "find_spec", lambda name: name == "triton")
    device = torch.device("cpu")
    monkeypatch.setattr(guard, "_compare", lambda kernel, device: "slow")
    assert guard.verdict("sae.top", device) == "slow"
    monkeypatch.setattr(guard, "_compare", lambda kernel, device: "")
    assert guard.verdict("sae.top", device) == "slow"
    assert guard.verdict("sae.top", device, again=True) == ""
    assert guard.verdict("sae.top", device) == ""
