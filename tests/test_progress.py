"""What runs for long is shown: in a log by lines, on a terminal by one that is redrawn."""

import io
import re
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from threading import active_count

import pytest

from synthsae import progress
from synthsae.config import Config, override
from synthsae.scores.run import run_cell
from synthsae.study import cli
from synthsae.study.fingerprint import fingerprint, source

TINY = Path(__file__).parent / "tiny.py"
QUIET, LIVE, LOG = 0.2, 0.05, 0.4


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A tenth of the waiting."""
    for name, value in (("QUIET", QUIET), ("LIVE", LIVE), ("LOG", LOG)):
        monkeypatch.setattr(progress, name, value)
    before = active_count()
    yield
    until = time.time() + 10
    while active_count() > before and time.time() < until:
        time.sleep(LIVE)
    assert active_count() <= before  # nothing watches any more


def lines(capsys: pytest.CaptureFixture) -> list[str]:
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_nothing_is_shown_of_what_is_quick(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "QUIET", 10 * QUIET)
    with progress.bar("training", 10, "steps") as count, progress.bar("inside"):
        count(10)
        time.sleep(2 * QUIET)
    assert lines(capsys) == []


def test_a_log_gets_lines_of_one_long_call_that_counts_nothing(
    capsys: pytest.CaptureFixture,
) -> None:
    with progress.bar("matching"):
        time.sleep(QUIET + 2.5 * LOG)
    found = lines(capsys)
    assert 3 <= len(found) <= 5
    assert all(line.startswith("matching: 00:0") for line in found)


def test_how_far_and_how_long_still(capsys: pytest.CaptureFixture) -> None:
    with progress.bar("training", 40, "seed-steps") as count:
        for _ in range(3):
            count(10)
            time.sleep(QUIET)
    first, *_, last = lines(capsys)
    assert re.match(r"training: (25|50)% of 40 seed-steps \|", first)
    assert "left" in first
    assert last.startswith("training: 75% of 40 seed-steps |")


def test_the_inner_one_is_shown_in_place_of_the_outer(capsys: pytest.CaptureFixture) -> None:
    with progress.bar("grid", 3, "cells") as count:
        count(1)
        with progress.bar("spliced_loss"), progress.bar("spliced_loss", 8, "passes"):
            time.sleep(2 * QUIET)
    first = lines(capsys)[0]
    assert first.startswith("1/3 cells (")
    assert "left), spliced_loss: 0% of 8 passes |" in first


def test_a_long_series_of_quick_ones_is_shown(capsys: pytest.CaptureFixture) -> None:
    with progress.bar("grid", 40, "cells") as count:
        for _ in range(40):
            with progress.bar("training"):
                time.sleep(LOG / 20)
            count(1)
    assert 2 <= len(lines(capsys)) <= 8


def test_no_interval_of_a_log_is_longer_than_promised(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is inside of what."""
    when: list[float] = []
    monkeypatch.setattr(progress, "_write", lambda text, redrawn=False: when.append(time.time()))
    began = time.time()
    with progress.bar("grid", 1, "cells"):
        for seconds in (QUIET, LOG, QUIET / 2, QUIET / 2, LOG, QUIET):
            with progress.bar("a"), progress.bar("b", 9, "steps"):
                time.sleep(seconds)
    gaps = [b - a for a, b in zip([began, *when], [*when, time.time()], strict=True)]
    assert max(gaps) < 2 * LOG  # on a busy machine


def test_what_it_costs_is_said_at_once(capsys: pytest.CaptureFixture) -> None:
    with progress.bar("spliced_loss", 84, "contexts", "2 passes over 42 contexts"):
        assert lines(capsys) == ["spliced_loss: 2 passes over 42 contexts"]


def test_an_unfinished_generator_inside_ends_with_the_outer_bar(
    capsys: pytest.CaptureFixture,
) -> None:
    def batches() -> Iterator[int]:
        with progress.bar("held-out samples", 8, "samples"):
            yield from range(8)

    unfinished = batches()
    with progress.bar("grid", 3, "cells"):
        next(unfinished)
    time.sleep(2 * QUIET)
    assert lines(capsys) == []
    with progress.bar("training", 10, "steps") as count:
        unfinished.close()
        count(5)
        time.sleep(2 * QUIET)
    assert lines(capsys)[0].startswith("training: 50% of 10 steps")


def test_a_hidden_block_shows_nothing(capsys: pytest.CaptureFixture) -> None:
    with progress.hidden(), progress.bar("training", 4, "steps", "4 steps") as count:
        count(1)
        time.sleep(QUIET + LOG)
    assert lines(capsys) == []


def test_a_terminal_has_one_line_that_is_removed(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.bar("training", 4, "steps") as count:
        count(1)
        time.sleep(2 * QUIET)
        progress.say("a word")
    text = screen.getvalue()
    assert text.count("training: 25%") >= 2
    assert text.count("\n") == 1
    assert "\ra word\n" in text
    assert text.split("\r")[-1] == ""


def test_a_closed_stderr_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr(sys, "stderr", gone)
    with progress.bar("training", 4, "steps"):
        time.sleep(2 * QUIET)


def test_a_study_shows_its_phases(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []
    whole = progress._Screen.push

    def push(self: progress._Screen, line: progress._Line) -> None:
        shown.append(line.what)
        whole(self, line)

    monkeypatch.setattr(progress._Screen, "push", push)
    assert cli.main([str(TINY), "--out", str(tmp_path)]) == 0
    phases = {"grid", "opening the source", "training", "evaluation", "figure", "saving the SAEs"}
    assert phases <= set(shown)
    assert {m.__name__ for m in cli.load(str(TINY)).scores} <= set(shown)


def test_what_is_shown_is_in_no_number() -> None:
    assert source("synthsae.progress") is None
    reached = fingerprint(run_cell, Config).parts
    assert any(name.startswith("synthsae.scores.run:") for name in reached)
    assert not any("progress" in name.partition(":")[0] for name in reached)


def test_training_counts_seed_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    counted: dict[str, float] = {}
    whole = progress._Line.count

    def count(self: progress._Line, n: float) -> None:
        counted[self.what] = counted.get(self.what, 0) + n
        whole(self, n)

    monkeypatch.setattr(progress._Line, "count", count)
    run_cell(override(Config(), {"train.n_steps": 7, "n_seeds": 2, "eval_samples": 300}))
    assert counted == {"training": 14, "evaluation": 300}
