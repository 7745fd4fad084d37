"""Reports: the verdict on latents whose truth is known, and what the files hold."""

import json
import re
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import validate
from known_latents import FEATURES, NOISE, PLANE, D, decoders
from numpy.testing import assert_allclose

import synthsae
from synthsae import SAEConfig, TrainConfig, World, WorldConfig, dictionaries
from synthsae.checks import ConfigError
from synthsae.geometry import haar, unit
from synthsae.reports import Report, report
from synthsae.reports.latents import COLUMNS
from synthsae.reports.page import lead, page
from synthsae.reports.verdicts import MEANING, Verdict
from synthsae.reports.write import as_json
from synthsae.train import train


@pytest.fixture(scope="module")
def made() -> Report:
    return report(decoders(8))


def test_each_latent_has_the_verdict_that_its_truth_says(made: Report) -> None:
    got = made.latents.loc["SAE 0"].verdict.tolist()
    assert got[1:FEATURES] == [Verdict.IDENTIFIABLE] * (FEATURES - 1)
    assert {got[0], got[12]} == {Verdict.IDENTIFIABLE, Verdict.DOUBLE}
    assert got[13:17] == [Verdict.SUBSPACE] * PLANE
    assert got[17:20] == [Verdict.NOT_REPRODUCED] * NOISE
    assert got[20] == Verdict.DEAD


def test_the_verdict_does_not_depend_on_the_order_of_seeds() -> None:
    d = decoders(6)
    forth, back = report(list(d)), report(list(d[::-1]))
    mine = forth.latents.loc["SAE 0"].verdict
    assert mine.tolist() == back.latents.loc["SAE 5"].verdict.tolist()


def test_two_saes_are_too_few_for_lists() -> None:
    two = report(decoders(2))
    assert set(two.latents.verdict) == {Verdict.TOO_FEW, Verdict.DEAD}
    assert "third SAE" in lead(two)
    assert np.isnan(two.summary.low).all()


def test_a_latent_that_all_have_loosely_is_stable_and_not_identified() -> None:
    rng = np.random.default_rng(0)
    centre = unit(rng.standard_normal(D))
    loose = unit(centre + 0.07 * rng.standard_normal((4, D)))[:, None]
    neighbour = unit(centre + 0.07 * rng.standard_normal((4, D)))[:, None]
    d = np.concatenate([loose, neighbour], axis=1)
    assert set(report(d).latents.verdict) == {Verdict.STABLE}


def test_a_latent_that_leans_on_a_feature_doubles_the_latent_of_that_feature() -> None:
    d = decoders(6)
    lean = unit(0.8 * d[0, 2] + 0.6 * unit(np.random.default_rng(1).standard_normal(D)))
    d[0, 20] = lean
    seen = report(d).latent(20)
    assert seen.row.p_hat == 1  # many-to-one, so p_hat alone calls it stable
    assert (seen.verdict, seen.row.doubles) == (Verdict.DOUBLE, 2)


def test_the_table_has_what_its_key_explains(made: Report) -> None:
    table = made.latents
    assert list(table.columns) == list(COLUMNS)
    assert table.index.names == ["sae", "latent"]
    assert len(table) == 8 * 21
    assert table.why.str.len().gt(10).all()
    assert {*MEANING} == {*Verdict}
    live = table[table.live]
    assert (live.p_hat_low <= live.p_hat).all()
    assert (live.p_hat <= live.p_hat_high).all()
    assert table[~table.live].p_hat.isna().all()
    inside = table[table.verdict == Verdict.SUBSPACE]
    assert inside.subspace_energy.gt(0.99).all()
    assert inside["rank"].median() < 3


def test_counterparts_of_an_identity_are_its_latents(made: Report) -> None:
    listed = made.consensus.identity_latent.values
    for row in listed:
        got = made.latents.loc["SAE 0"].loc[row[0]].counterparts
        copies = made.latents[made.latents.doubles >= 0].reset_index()
        allowed = {(a, b) for a, b in zip(copies.sae, copies.latent, strict=True)}
        for t in range(1, 8):
            assert got[t] == row[t] or (f"SAE {t}", got[t]) in allowed


def test_one_latent_in_full(made: Report) -> None:
    view = made.latent(3)
    assert view.verdict == Verdict.IDENTIFIABLE
    assert view.counterparts.index.tolist() == [f"SAE {t}" for t in range(1, 8)]
    assert view.counterparts.cosine.gt(0.98).all()
    assert view.counterparts.verdict.eq(Verdict.IDENTIFIABLE).all()
    assert made.latent(3, sae="SAE 0").why == view.why
    assert view.why in repr(view)
    assert "<b>" in view._repr_html_()
    assert "identifiable 9" in repr(made)


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"latent": 21}, "latent"),
        ({"latent": 0, "sae": 8}, "sae"),
        ({"latent": 0, "sae": "SAE9"}, "sae"),
    ],
)
def test_what_there_is_not_is_refused(made: Report, arguments: dict, field: str) -> None:
    with pytest.raises(ConfigError) as error:
        made.latent(**arguments)
    assert error.value.field == field


def test_the_summary_counts_what_the_table_holds(made: Report) -> None:
    table = made.latents[made.latents.live]
    identifiable = table.verdict == Verdict.IDENTIFIABLE
    shares = identifiable.groupby("sae").mean()
    assert_allclose(made.summary.value.iloc[2], shares.mean())
    assert_allclose(made.summary.value.iloc[0], table.groupby("sae").p_hat.mean().mean())
    inside = table.verdict.eq(Verdict.SUBSPACE).groupby("sae").mean().mean()
    assert_allclose(made.summary.value.iloc[3], inside)
    assert (made.summary.low <= made.summary.value).all()
    assert made.counts.sum() == len(made.latents)


def test_a_source_gives_rates_energies_and_live_latents() -> None:
    world = World.plant(WorldConfig(d_model=16, n_isolated=8, n_blocks=1, rank=2), seed=0)
    stack = train(
        world, SAEConfig(k=2, n_latents=24), TrainConfig(n_steps=60), seeds=range(3)
    ).stack
    seen = report(stack, world, n_samples=2048)
    table = seen.latents
    assert_allclose(table.groupby("sae").energy.sum(), 1)
    assert (table.firing_rate[~table.live] < 1e-4).all()
    assert table.firing_rate[table.live].gt(0).all()


def test_json_follows_its_schema_and_holds_the_table(made: Report) -> None:
    schema = json.loads((files("synthsae.reports") / "schema.json").read_text())
    document = json.loads(as_json(made))
    validate(document, schema)
    assert {*schema["properties"]["saes"]["items"]["properties"]["verdict"]["items"]["enum"]} == {
        *Verdict
    }
    for sae in document["saes"]:
        rows = made.latents.loc[sae["name"]]
        assert sae["verdict"] == rows.verdict.tolist()
        assert [x is None for x in sae["p_hat"]] == rows.p_hat.isna().tolist()
    assert len(document["identities"]) == len(made.identities)
    members = document["subspaces"][0]["members"]
    assert [len(m) for m in members] == made.consensus.subspace_latents.values[0].tolist()


def test_files_are_read_back(made: Report, tmp_path: Path) -> None:
    paths = made.write(tmp_path / "report", "a command")
    assert {p.name for p in paths} == {
        "report.html",
        "latents.csv",
        "latents.parquet",
        "report.json",
        "consensus.safetensors",
    }
    table = pd.read_parquet(tmp_path / "report" / "latents.parquet")
    csv = pd.read_csv(tmp_path / "report" / "latents.csv")
    flat = made.latents.reset_index()
    assert table.verdict.tolist() == csv.verdict.tolist() == flat.verdict.tolist()
    assert_allclose(table.p_hat, flat.p_hat)
    assert_allclose(csv.p_hat, flat.p_hat, rtol=1e-5)
    assert table.counterparts.iloc[3].tolist() == flat.counterparts.iloc[3].tolist()
    found = synthsae.load_consensus(tmp_path / "report" / "consensus.safetensors")
    assert found.identical(made.consensus)


def test_the_page_stands_alone_and_escapes_names() -> None:
    d = decoders(3)
    saes = dictionaries.load(list(d))
    saes = replace(saes, seeds=("<script>alert(1)</script>", "b", "c"))
    text = page(report(saes), title="A & B")
    assert "<script>alert" not in text
    assert "A &amp; B" in text
    assert not re.findall(r"""(?:src|href|import|url)\s*[=(]\s*["']?(?:https?:)?//""", text)


@settings(max_examples=10)
@given(st.integers(0, 50), st.integers(3, 6))
def test_turning_everything_changes_no_verdict(seed: int, n: int) -> None:
    d = decoders(n, seed)
    turn = haar(D, np.random.default_rng(seed))
    before, after = report(d), report(d @ turn)  # which of two equal copies leads is open
    same = before.latents.verdict.astype(str) == after.latents.verdict.astype(str)
    copies = before.latents.doubles.ge(0) | after.latents.doubles.ge(0)
    assert (same | copies).all()
    assert before.counts.tolist() == after.counts.tolist()


def test_a_world_says_what_its_latents_are() -> None:
    world = World.plant(WorldConfig(d_model=16, n_isolated=4, n_blocks=1, rank=2), seed=0)
    with pytest.raises(ConfigError):
        report(decoders(3), world)  # of another width
