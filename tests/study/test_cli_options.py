"""Options and values: exact, set once, with the nearest known name; streams that are closed."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from cluster import ROOT, TINY
from study_files import ONE, run

import synthsae
from synthsae.checks import ConfigError, closest
from synthsae.config import Config, override
from synthsae.study import cli, load, plan


def shell(cwd: Path, text: str) -> subprocess.CompletedProcess[str]:
    """`text` in bash, with `study` as the command."""
    return run(
        cwd, "bash", "-c", f'study() {{ "{sys.executable}" -m synthsae.study "$@"; }}; {text}'
    )


def refused(arguments: list[str], capsys: pytest.CaptureFixture) -> str:
    """The line of a command that is refused."""
    try:
        status = cli.main(arguments)
    except SystemExit as stop:
        status = int(str(stop.code))
    err = capsys.readouterr().err
    assert status == 2
    assert err.count("\n") == 1
    return err


@pytest.mark.parametrize(
    "twice",
    [
        ["--k", "4", "--set", "sae.k=8"],
        ["--set", "sae.k=4", "--set", "sae.k=8"],
        ["--set", "sae.k=4", "--set", " sae.k =8"],
        ["--k", "4", "--k", "8"],
        ["--out", "4", "--out", "8"],
        ["--out", "results", "--out", "8"],
    ],
)
def test_what_is_set_twice_is_refused_with_both_values(
    twice: list[str], capsys: pytest.CaptureFixture
) -> None:
    err = refused(["rank_sweep", *twice], capsys)
    for value in (twice[1], twice[3]):
        assert value.rpartition("=")[2] in err


@pytest.mark.parametrize(
    ("text", "seed"),
    [
        ("1e18", 10**18),
        ("9007199254740993", 2**53 + 1),
        ("9_223_372_036_854_775_806", 2**63 - 2),
        ("9223372036854775.806k", 2**63 - 2),
    ],
)
def test_large_seeds_are_exact(text: str, seed: int) -> None:
    assert override(Config(), {"first_seed": text, "n_seeds": 2}).seeds == (seed, seed + 1)
    assert override(Config(), {"world_seed": text}).world_seed == seed


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("first_seed", "2e19"),
        ("first_seed", "9223372036854775807"),  # the second seed does not fit
        ("world_seed", "9223372036854775808"),
        ("world_seed", "-1"),
        ("train.n_steps", "1e400"),
        ("train.n_steps", "1e99999999999999999999"),
        ("world.noise", "1e400"),
        ("world.noise", "nan"),
        ("world.noise", "0x10"),
        ("sae.k", "4,,8"),
        ("sae.k", "4,"),
    ],
)
def test_numbers_out_of_range_are_refused_when_planned(
    field: str, text: str, capsys: pytest.CaptureFixture
) -> None:
    assert f"synthsae.study: {field}: " in refused(
        ["rank_sweep", "--set", f"{field}={text}"], capsys
    )


def test_numbers_of_python_have_64_bits_too() -> None:
    with pytest.raises(ConfigError) as error:
        Config(first_seed=2**64)
    assert (error.value.field, error.value.value) == ("first_seed", 2**64)
    with pytest.raises(ConfigError) as error:
        Config(world_seed=10**400)
    assert error.value.field == "world_seed"


def test_labels_of_large_seeds_are_exact(tmp_path: Path) -> None:
    worlds = "world_seed=0,9007199254740993"
    seeds = "first_seed=9223372036854775800"
    more = [text for value in (worlds, seeds) for text in ("--set", value)]
    assert cli.main([str(TINY), *ONE, *more, "--out", str(tmp_path)]) == 0
    ds = synthsae.open_results("tiny", tmp_path)
    assert ds.seed.dtype == ds.world_seed.dtype == np.int64
    assert ds.seed.values.tolist() == [2**63 - 8, 2**63 - 7]
    assert ds.world_seed.values.tolist() == [0, 2**53 + 1]


def values(text: str, field: str = "source.text") -> object:
    args = cli._parser().parse_args(["seed_stability", "--set", f"{field}={text}"])
    return cli.changes(args, load("seed_stability").base)[field]


def test_a_name_may_hold_a_comma(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a,b.txt", "2,4"):
        Path(name).touch()
    assert values("a,b.txt") == "a,b.txt"
    assert values("a,b.txt:NAME") == "a,b.txt:NAME"
    assert values(r"x\,y.txt") == "x,y.txt"
    assert values(r"x\,y.txt, z") == ["x,y.txt", "z"]
    assert values(",z") == ["", "z"]
    assert values("2,4", "sae.k") == ["2", "4"]  # no name, whatever is in the folder


@pytest.mark.slow
def test_an_array_whose_name_has_a_comma(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    np.save(tmp_path / "a,b.npy", np.random.default_rng(0).normal(size=(600, 8)).astype("f4"))
    sets = (f"source.arrays={tmp_path}/a,b.npy", "train.n_steps=2", "source.passes=0")
    more = [text for value in (*sets, "eval_samples=50") for text in ("--set", value)]
    more += ["--seeds", "2", "--n-latents", "8", "--out", str(tmp_path / "r")]
    assert cli.main(["seed_stability", *more]) == 0
    base = json.loads(synthsae.open_results("seed_stability", tmp_path / "r").attrs["config"])[
        "base"
    ]
    assert base["source"]["arrays"].endswith("a,b.npy")
    assert "At layer" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["rank_sweap"], "rank_sweep"),
        (["rank_sweep", "--sedes", "3"], "--seeds"),
        (["rank_sweep", "--n_latents", "3"], "--n-latents"),
        (["rank_sweep", "--first-seed=3"], "--set first_seed=VALUE"),
        (["rank_sweep", "--world", "Gerasimov"], "gerasimov_like"),
        (["rank_sweep", "--set", "world.rang=3"], "world.rank"),
        (["rank_sweep", "--set", "rank=3"], "world.rank"),
        (["rank_sweep", "--set", "sae.rank=3"], "world.rank"),
        (["rank_sweep", "--set", "world.law=sparce"], "sparse"),
        (["rank_sweep", "--set", "sae.arch=TopK"], "topk"),
        (["rank_sweep", "--device", "cud"], "cuda"),
    ],
)
def test_unknown_names_get_the_nearest(
    arguments: list[str], hint: str, capsys: pytest.CaptureFixture
) -> None:
    err = refused(arguments, capsys)
    assert err.endswith(f"did you mean {hint}?\n")
    assert len(err) < 500


def test_a_section_names_some_of_its_fields(capsys: pytest.CaptureFixture) -> None:
    err = refused(["rank_sweep", "--set", "world=2"], capsys)
    assert "world.d_model" in err
    assert len(err) < 200


def test_nothing_is_near_to_nonsense() -> None:
    assert closest("qqqqqq", ["topk", "world.rank"]) is None


@pytest.mark.parametrize("more", [["--layer", "3"], ["--text", "a.txt"]])
def test_a_source_of_which_more_is_said_must_be_there(
    more: list[str], capsys: pytest.CaptureFixture
) -> None:
    assert "source.model" in refused(["seed_stability", *more], capsys)


def test_axes_that_change_no_number_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", np.ones((600, 8), "f4"))
    fixed = {"source.arrays": str(tmp_path / "x.npy"), "source.passes": 0, "eval_samples": 50}
    for axis in ({"world.noise": ["0", "0.1"]}, {"source.cache_limit": ["1", "2"]}):
        with pytest.raises(ConfigError):
            plan(load("seed_stability"), fixed | {"sae.n_latents": 8} | axis)


NEEDS = {
    "pooling": {"world.n_blocks": 0},
    "excess": {"world.n_blocks": 0},
    "rank_sweep": {"world.n_blocks": 0},
    "width_sweep": {"world.n_blocks": ["0", "2"]},
    "budget_sweep": {"world.n_blocks": 0},
    "seed_sources": {"world.n_blocks": 0},
    "atoms_sweep": {"world.law": "isotropic"},
    "law_sweep": {"world.law": "isotropic"},
    "variant_sweep": {"sae.k": 2},
    "hierarchical_budget": {"sae.arch": ["topk"]},
    "k_sweep": {"world.n_isolated": 0},
    "song_toy": {"world.n_isolated": 0, "world.n_blocks": 1},
}


@pytest.mark.parametrize("name", NEEDS)
def test_what_cannot_be_drawn_is_refused_when_planned(name: str) -> None:
    """And named: the last change is what the study cannot do without."""
    changes = NEEDS[name]
    with pytest.raises(ConfigError) as error:
        plan(load(name), changes, quick=True)
    assert error.value.field in changes


def test_a_preset_without_blocks(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    out = tmp_path / "r"
    arguments = ["rank_sweep", "--world", "synthsaebench_1k", "--out", str(out)]
    assert "world.n_blocks: 0" in refused(arguments, capsys)
    assert not out.exists()


@pytest.mark.slow
def test_output_that_nobody_reads(tmp_path: Path) -> None:
    for argument in ("--help", "list"):
        reads, writes = os.pipe()
        os.close(reads)  # as `| head` does when it has enough
        done = subprocess.run(
            [sys.executable, "-m", "synthsae.study", argument],
            cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(ROOT)}, stdout=writes,
            stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(writes)
        assert (done.returncode, done.stderr) == (141, b"")
    done = shell(tmp_path, "study list > /dev/full")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


@pytest.mark.slow
def test_streams_that_are_closed_and_names_that_are_no_text(tmp_path: Path) -> None:
    """Cells are kept and the Dataset is whole: `open_results` finds it under the same name."""
    mine = os.fsdecode(b"t\xffiny.py")
    (tmp_path / mine).write_bytes(TINY.read_bytes())
    options = " ".join(ONE)
    done = shell(tmp_path, f"study $'t\\xffiny.py' {options} --out $'o\\xff' <&- >&- 2>&-")
    assert done.returncode == 0
    out = tmp_path / os.fsdecode(b"o\xff")
    assert synthsae.open_results(mine.removesuffix(".py"), out).l0.notnull().all()
    done = shell(tmp_path, f"COLUMNS=1 study $'t\\xffiny.py' {options} --out $'o\\xff'")
    assert (done.returncode, "0 to train" in done.stdout) == (0, True)
    assert "Traceback" not in done.stderr
