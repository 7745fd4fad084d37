"""Headline figures look as they did, and the comparison sees a wrong colour or a missing panel."""

from pathlib import Path

import matplotlib
import numpy as np
import pytest
from images import FOLDER, STUDIES, TOLERANCE, dataset, distance, drawn, saved
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from synthsae.study import load


def figure(name: str) -> Figure:
    return load(name).figure(dataset(name))


@pytest.mark.parametrize("name", STUDIES)
def test_a_headline_looks_as_it_did(name: str, tmp_path: Path) -> None:
    """After a change on purpose: python tests/images.py"""
    seen = drawn(figure(name))
    Image.fromarray(np.round(255 * seen).astype(np.uint8)).save(tmp_path / f"{name}.png")
    assert distance(seen, saved(name)) < TOLERANCE, f"drawn: {tmp_path / name}.png"


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_another_colour_is_seen(name: str) -> None:
    whole = figure(name)
    colours = {to_hex(line.get_color()) for ax in whole.axes for line in ax.lines if shows(line)}
    assert colours
    for colour in colours:
        changed = figure(name)
        for line in (line for ax in changed.axes for line in ax.lines):
            if to_hex(line.get_color()) == colour:
                line.set(color="#CC79A7", markerfacecolor="#CC79A7", markeredgecolor="#CC79A7")
        assert distance(drawn(changed), saved(name)) > TOLERANCE, colour


def shows(line: Line2D) -> bool:
    """Whether a line has a finite point and is drawn."""
    x, y = (np.asarray(v, dtype=float) for v in line.get_data())
    drawn_at_all = line.get_linestyle() != "None" or line.get_marker() not in ("None", "", " ")
    return bool(drawn_at_all and (np.isfinite(x) & np.isfinite(y)).any() and line.get_visible())


@pytest.mark.slow
@pytest.mark.parametrize("name", STUDIES)
def test_a_missing_panel_is_seen(name: str) -> None:
    for i in range(len(figure(name).axes)):
        cut = figure(name)
        cut.axes[i].remove()
        assert distance(drawn(cut), saved(name)) > TOLERANCE


@pytest.mark.parametrize("hinting", ["none", "force_autohint"])
def test_how_text_is_drawn_does_not_matter(hinting: str) -> None:
    with matplotlib.rc_context({"text.hinting": hinting, "font.family": "monospace"}):
        assert distance(drawn(figure("rank_sweep")), saved("rank_sweep")) < TOLERANCE


@pytest.mark.parametrize("name", STUDIES)
def test_files_are_small(name: str) -> None:
    for kind in ("json", "png"):
        assert (FOLDER / f"{name}.{kind}").stat().st_size < 100_000


def test_images_of_two_sizes_differ() -> None:
    assert distance(np.zeros((4, 4, 3)), np.zeros((4, 5, 3))) == 1
