"""docs/schema.md is what results hold, and a result says so itself when it is printed."""

import html
import json
from pathlib import Path

import pytest
import schema
import xarray as xr

from synthsae.study import run


def test_the_page_is_up_to_date() -> None:
    """After a change: python tests/schema.py"""
    assert schema.PAGE.read_text() == schema.page()


@pytest.mark.parametrize("name", schema.EVERY)
def test_variables_have_a_long_name_and_units(name: str) -> None:
    for variable in schema.computed(name).data_vars.values():
        assert variable.attrs["long_name"]
        assert variable.attrs["units"]


def test_coordinates_have_a_meaning() -> None:
    assert all(schema.coordinates().values())


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> xr.Dataset:
    file = Path(__file__).with_name("tiny.py")
    changes = {"world.noise": [0.1], "definitions.live": [1e-4, 1e-3]}
    return run(file, changes, out=tmp_path_factory.mktemp("out"), keep_gib=0)


def test_attributes_are_those_of_the_page(result: xr.Dataset) -> None:
    assert {*schema.ATTRIBUTES} - {*result.attrs} == {"source"}  # this one has a planted world
    assert {*result.attrs} <= {*schema.ATTRIBUTES}
    for name, meaning in schema.ATTRIBUTES.items():
        if "JSON" in meaning and name in result.attrs:
            json.loads(result.attrs[name])


def test_a_printed_result_says_what_it_is(result: xr.Dataset) -> None:
    shown = repr(result)
    for name in ("study", "question", "definitions", "git_commit", "scored_at", "versions"):
        assert f"    {name}:" in shown
    for name in ("samples_trained", "quick", "stale"):
        assert f"    {name}:" in shown
    assert '{"theta": 0.7, "live": [0.0001, 0.001]' in shown


def test_a_name_that_differs_between_cells_is_kept(result: xr.Dataset) -> None:
    """Cells of two thresholds name them both."""
    dead = "share of latents that fire on fewer than {} of the samples"
    want = f"{dead.format('1e-4')} or {dead.format('.001')}"
    assert result.dead_fraction.attrs["long_name"] == want


def test_a_notebook_shows_long_names_units_and_all_attributes(result: xr.Dataset) -> None:
    shown = html.unescape(result._repr_html_())
    for name, value in result.attrs.items():
        assert f"<span>{name} :</span></dt><dd>{value}</dd>" in shown
    for variable in result.variables.values():
        for key, value in variable.attrs.items():
            assert f"<span>{key} :</span></dt><dd>{value}</dd>" in shown
    for name in result.variables:
        numeric = result[name].dtype.kind in "iuf"
        assert {"long_name", "units"} <= {*result[name].attrs} or not numeric, name
