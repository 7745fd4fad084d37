"""The pure parts of the benchmark: ratios, tables, the served data, the clock, dead latents."""

import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import cases
import jobs
import ours
import ratios
import report
import shares

JOB = jobs.Job(d=8, m=16, k=2, batch=32, seeds=3, seconds=0.0)


def answer(n: int, library: str, rate: float, dead: float | None = 0.0) -> dict[str, Any]:
    return {
        "case": "S",
        "library": library,
        "round": n,
        "rate": rate,
        "dead": dead,
        "version": "1.2",
    }


def record(**changes: Any) -> dict[str, Any]:
    """Three rounds, of which the last is on a slow machine; one side is in another order."""
    answers = [answer(n, "synthsae", r) for n, r in ((0, 8000.0), (1, 9000.0), (2, 500.0))]
    answers += [answer(n, "SAELens", r, None) for n, r in ((2, 100.0), (0, 2000.0), (1, 3000.0))]
    about = {"date": "2026-01-01", "commit": "c", "machine": "m", "python": "3", "torch": "2"}
    plan = {"S": {"job": {}, "aims": {"SAELens": 4.0}}}
    kind = {"group": "sizes", "device": "cpu", "cases": plan, "answers": answers}
    return about | kind | changes


def test_ratios_are_taken_within_rounds() -> None:
    own, other = ratios.rows(record())
    assert own.ratio == (1, 1, 1)
    assert other.ratio == (4, 3, 5)  # of the medians it would be 8000 / 2000 = 4, of the means 3.4
    assert other.rate == (2, 0.1, 3)
    assert (own.dead, other.dead) == (0.0, None)
    assert ratios.met(record()) == (1, 1)
    late = record(answers=[*record()["answers"], answer(3, "synthsae", 1.0)])
    with pytest.raises(ValueError, match="zip"):  # a round that one side lacks
        list(ratios.rows(late))
    with pytest.raises(ValueError, match="one round or more"):
        ratios.spread([])


def test_a_table_says_ratio_aim_and_version() -> None:
    lines = report.table(record()).splitlines()
    assert lines[3] == "| S | SAELens 1.2 | 2 [0.1, 3] | 4 [3, 5] | 4x: yes |  |"
    assert len({line.count("|") for line in lines}) == 1
    higher = record(cases={"S": {"job": {}, "aims": {"SAELens": 4.5}}})
    assert "4.5x: no" in report.table(higher)


def test_the_report_has_a_section_and_a_figure_for_each_record(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "cpu-sizes.json").write_text(json.dumps(record()))
    group = cases.cases("scaling")[:2]
    answers = [
        answer(n, library, rate) | {"case": case.name}
        for n in range(2)
        for case in group
        for library, rate in ((cases.OURS, 4e5), (cases.DENSE, 1e5), (cases.LIMIT, 1e6))
    ]
    plan = {case.name: {"job": {}, "aims": {}} for case in group}
    scaling = record(group="scaling", cases=plan, answers=answers)
    report.save("cpu-scaling", scaling, folder)
    text = (tmp_path / "RESULTS.md").read_text()
    assert "Aims reached: 1 of 1." in text
    for figure in ("peers-cpu.png", "scaling-cpu.png"):
        assert f"]({figure})" in text
        assert (tmp_path / figure).stat().st_size > 0
    report.save("cuda-sizes", record(device="cuda"), folder)
    assert "(GPU)" in (tmp_path / "RESULTS.md").read_text()


def test_served_batches_are_the_slices_and_no_copies() -> None:
    data = torch.arange(5 * 4 * 3, dtype=torch.float32).view(5, 4, 3)
    source = ours.Served(data)
    assert source.d_model == 3
    for t, seed in ((0, 0), (4, 0), (5, 0), (3, 4)):
        x = source.batch(t, 4, seed=seed)
        assert torch.equal(x, data[(t + seed) % 5])
        assert x.data_ptr() == data[(t + seed) % 5].data_ptr()
    with pytest.raises(ValueError, match="allowed: 4"):
        source.batch(0, 3, seed=0)


def test_the_clock_counts_the_steps_after_the_warm_up() -> None:
    data = torch.arange(3.0)[:, None, None]
    clock = jobs.Clock(JOB, data)
    served = [float(x) for x in clock]
    assert served == [t % 3 for t in range(len(served))]
    assert clock.samples == (len(served) - jobs.WARMUP) * JOB.batch > 0
    assert clock.elapsed > 0


@pytest.mark.parametrize("dead", [0.0, 0.25])
def test_the_share_of_dead_latents_is_what_was_asked_for(dead: float) -> None:
    job = jobs.Job(d=16, m=64, k=2, batch=256, seeds=2, dead=dead)
    source = ours.Served(torch.from_numpy(ours.generate(job, 4)))
    assert ours.seconds(job, source, jobs.WARMUP)[1] == dead


def test_generated_data_fires_k_of_m_features() -> None:
    job = jobs.Job(d=64, m=32, k=2, batch=4096, seeds=1)  # M < D: the features are orthonormal
    x = ours.generate(job, 1)[0].astype(float)
    fires = x @ ours.world(job).features.T
    np.testing.assert_allclose(fires, fires.round(), atol=1e-5)
    assert fires.sum(1).mean() == pytest.approx(2, abs=0.1)


def test_every_group_has_cases_with_names_of_their_own() -> None:
    for group in cases.GROUPS:
        for device in ("cpu", "cuda"):
            found = cases.cases(group, device)
            assert len({case.name for case in found}) == len(found) > 0
            for case in found:
                assert set(case.aims) <= set(case.libraries)
                assert case.job.device == device


def test_a_part_does_not_count_the_parts_it_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    """In its own thread: it does wait for others."""
    watch, clock = shares.Stopwatch(), [0.0]
    monkeypatch.setattr(shares, "perf_counter", lambda: clock[0])

    def takes(seconds: float) -> None:
        clock[0] += seconds

    def body() -> None:
        takes(1)
        thread = threading.Thread(target=watch.timed("beside", takes), args=(4,))
        thread.start()
        thread.join()
        watch.timed("inner", takes)(2)

    watch.timed("outer", body)()
    assert watch.seconds == {"inner": 2, "beside": 4, "outer": 1 + 4}
