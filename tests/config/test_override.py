"""Fields by dotted name, of which `sae.options` depend on the architecture."""

from itertools import permutations

import pytest

from synthsae.checks import ConfigError
from synthsae.config import Config, architecture_options, describe, override
from synthsae.sae import ARCHITECTURES, SAEConfig
from synthsae.sae.kron import KronOptions
from synthsae.study import cli, load, plan

KRON = {"sae.arch": "kron", "sae.n_latents": "64", "sae.options.heads": "4", "sae.options.m": 2}


@pytest.mark.parametrize("names", list(permutations(KRON)))
def test_options_are_set_in_any_order(names: tuple[str, ...]) -> None:
    config = override(Config(), {name: KRON[name] for name in names})
    assert config.sae == SAEConfig("kron", 64, 4, KronOptions(heads=4, m=2))
    assert config.get("sae.options.heads") == 4


def test_options_of_the_base_stay_and_one_more_is_set() -> None:
    base = Config(sae=SAEConfig("kron", 64, 4, {"heads": 4}))
    assert override(base, {"sae.options.m": 2}).sae.options == KronOptions(heads=4, m=2)
    assert override(base, {"sae.k": 2}).sae.options == KronOptions(heads=4)
    assert override(Config(sae=SAEConfig("kron")), {"sae.arch": "topk"}) == Config()


@pytest.mark.parametrize(
    ("base", "changes", "field", "value"),
    [
        ("topk", {"sae.options.heads": "4"}, "sae.options.heads", "4"),
        ("kron", {"sae.options.headz": "4"}, "sae.options.headz", "4"),
        ("kron", {"sae.options.m": "many"}, "sae.options.m", "many"),
        ("kron", {"sae.options.m": "0"}, "sae.options.m", 0),
        ("kron", {"sae.arch": "topk", "sae.options.m": "2"}, "sae.options.m", "2"),
        ("topk", {"sae.arch": "krom", "sae.options.m": "2"}, "sae.arch", "krom"),
    ],
)
def test_a_bad_option_is_refused_by_name(
    base: str, changes: dict[str, str], field: str, value: object
) -> None:
    with pytest.raises(ConfigError) as error:
        override(Config(sae=SAEConfig(base)), changes)
    assert (error.value.field, error.value.value) == (field, value)


def test_options_set_in_the_base_are_refused_by_another_architecture() -> None:
    with pytest.raises(ConfigError) as error:
        override(Config(sae=SAEConfig("kron", options={"heads": 4})), {"sae.arch": "topk"})
    assert (error.value.field, error.value.value) == ("sae.options.heads", 4)
    assert "kron" in error.value.allowed


def test_an_option_is_an_axis() -> None:
    study = load("rank_sweep")
    base = {"sae.arch": "kron", "sae.n_latents": 64, "world.rank": 4}
    grid = plan(study, base | {"sae.options.heads": [2, 4]}, quick=True)
    assert grid.axes["heads"] == [2, 4]


def test_architectures_are_an_axis_where_all_have_the_option() -> None:
    study, world = load("rank_sweep"), {"world.rank": 4}
    some = {"sae.arch": ["relu", "gated"], "sae.options.coefficient": 0.5}
    assert plan(study, world | some, quick=True).axes["arch"] == ["relu", "gated"]
    with pytest.raises(ConfigError) as error:
        plan(study, world | some | {"sae.arch": ["relu", "topk"]}, quick=True)
    assert (error.value.field, error.value.value) == ("sae.options.coefficient", 0.5)


def test_help_lists_the_options_of_every_architecture() -> None:
    text = cli.field_help(Config(sae=SAEConfig("kron", options={"heads": 4})))
    for arch, architecture in ARCHITECTURES.items():
        for name, _, meaning in describe(architecture.Options(), "sae.options."):
            (line,) = [line for line in text.splitlines() if f" {name} " in line]
            assert meaning, f"{name} has no help"
            assert line.endswith(meaning)
            assert arch in line
            assert (line.split()[1] == "4") == (name == "sae.options.heads")


def test_dimensions_named_after_options_differ_from_those_of_fields() -> None:
    fields = {name.rpartition(".")[2] for name, *_ in describe(Config())}
    options = [name.rpartition(".")[2] for name, *_ in architecture_options()]
    assert len({*fields, *options}) == len(fields) + len(options)
