"""Options that one architecture alone has: declared by its class, checked, recorded."""

import json
import pickle
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import pytest
from safetensors.torch import save_file

from synthsae.checks import ConfigError, within
from synthsae.sae import ARCHITECTURES, Architecture, SAEConfig, SAEStack
from synthsae.sae.kron import KronOptions
from synthsae.sae.saelens import load_saelens, save_saelens
from synthsae.sae.topk import TopK


@dataclass(frozen=True)
class PricedOptions:
    """One option of a user's own architecture, without a check of types."""

    price: float = field(default=0.5, metadata={"help": "price of a firing"})


class Priced(TopK):
    """An architecture with an option of its own."""

    Options = PricedOptions


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    ARCHITECTURES["priced"] = Priced
    yield
    ARCHITECTURES.pop("priced", None)


def refused(make: object) -> tuple[str, object]:
    """The field and the value that a ConfigError names."""
    with pytest.raises(ConfigError) as error:
        make()  # type: ignore[operator]
    return error.value.field, error.value.value


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_options_left_out_are_the_defaults_of_the_class(arch: str) -> None:
    made = ARCHITECTURES[arch].Options()
    for config in (SAEConfig(arch), SAEConfig(arch, options=None), SAEConfig(arch, options={})):
        assert config.options == made
        assert type(config.options) is type(made)


def test_options_are_an_instance_or_a_mapping_and_reach_the_architecture() -> None:
    by_name = SAEConfig("priced", 8, 2, {"price": 2})
    assert by_name == SAEConfig("priced", 8, 2, PricedOptions(price=2.0))
    assert hash(by_name) == hash(SAEConfig("priced", 8, 2, PricedOptions(price=2.0)))
    assert Priced(by_name).options.price == 2.0
    assert asdict(by_name)["options"] == {"price": 2.0}
    assert SAEConfig(**asdict(by_name)) == by_name


def test_bad_options_are_refused_by_name() -> None:
    assert refused(lambda: SAEConfig(options={"m": 3})) == ("sae.options.m", 3)
    assert refused(lambda: SAEConfig("kron", options={"mm": 3})) == ("sae.options.mm", 3)
    assert refused(lambda: SAEConfig("priced", options={"price": "x"})) == (
        "sae.options.price",
        "x",
    )
    assert refused(lambda: SAEConfig("kron", options=4)) == ("sae.options", 4)
    assert refused(lambda: SAEConfig("relu", options={"coefficient": 0})) == (
        "sae.options.coefficient",
        0.0,
    )


def test_another_architecture_resets_defaults_and_refuses_what_is_set() -> None:
    assert replace(SAEConfig("kron"), arch="topk") == SAEConfig("topk")
    assert replace(SAEConfig("topk"), arch="kron").options == KronOptions()
    set_ = SAEConfig("kron", options=KronOptions(heads=4))
    assert refused(lambda: replace(set_, arch="topk")) == ("sae.options.heads", 4)
    priced = SAEConfig("priced", options={"price": 1.0})
    assert refused(lambda: replace(priced, arch="kron")) == ("sae.options.price", 1.0)


def test_architectures_that_share_an_options_class_keep_what_is_set() -> None:
    relu = SAEConfig("relu", options={"coefficient": 0.5})
    assert replace(relu, arch="gated").options.coefficient == 0.5


def test_options_of_a_class_that_was_imported_again_are_kept() -> None:
    again = type("PricedOptions", (PricedOptions,), {"__module__": __name__})
    config = SAEConfig("priced", options={"price": 1.0})
    ARCHITECTURES["priced"] = type("Priced", (TopK,), {"Options": dataclass(frozen=True)(again)})
    assert type(replace(config, k=1).options) is again
    assert replace(config, k=1).options.price == 1.0


def test_a_worker_reads_a_config_before_it_imports_the_architecture() -> None:
    config = SAEConfig("priced", 8, 2, {"price": 2.0})
    data = pickle.dumps(config)
    del ARCHITECTURES["priced"]
    found = pickle.loads(data)
    ARCHITECTURES["priced"] = Priced
    assert found == config
    assert hash(found) == hash(config)


@pytest.mark.parametrize(
    "options",
    [
        int,
        type("Plain", (), {}),
        dataclass(type("Changeable", (), {"__annotations__": {"x": int}, "x": 1})),
        dataclass(frozen=True)(type("Required", (), {"__annotations__": {"x": int}})),
    ],
)
def test_options_that_are_no_frozen_dataclass_with_defaults_are_refused(options: type) -> None:
    field_, value = refused(lambda: type("Mine", (Architecture,), {"Options": options}))
    assert (field_, value) == ("Mine.Options", options)


def test_a_stack_is_saved_with_its_options(tmp_path: Path) -> None:
    stack = SAEStack.init(SAEConfig("kron", 16, 3, {"heads": 2}), 8, [0, 1])
    stack.save(tmp_path / "stack.safetensors")
    assert SAEStack.load(tmp_path / "stack.safetensors").config == stack.config


OLD = {"coefficient": None, "matryoshka_prefixes": None}
OLD |= {"kron_heads": None, "kron_m": None, "kron_n": None}


def test_a_record_of_the_first_edition_is_read(recwarn: pytest.WarningsRecorder) -> None:
    size = {"n_latents": 16, "k": 3}
    read = SAEConfig.from_record
    assert read({"arch": "topk"} | size | OLD) == SAEConfig("topk", 16, 3)
    assert read({"arch": "kron"} | size | OLD | {"kron_m": 2}).options == KronOptions(m=2)
    assert read({"arch": "relu"} | size | OLD | {"coefficient": 0.5}).options.coefficient == 0.5
    without_effect = {"arch": "topk"} | size | OLD | {"kron_m": 2}
    assert read(without_effect) == SAEConfig("topk", 16, 3)
    assert not recwarn.list


def test_files_of_the_first_edition_load(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    stack = SAEStack.init(SAEConfig("kron", 16, 3, {"heads": 2}), 8, [0, 1])
    old = {"arch": "kron", "n_latents": 16, "k": 3} | OLD | {"kron_heads": 2}
    header = {"config": json.dumps(old), "seeds": "[0, 1]"}
    save_file(stack.params, tmp_path / "stack.safetensors", header)
    assert SAEStack.load(tmp_path / "stack.safetensors").config == stack.config

    relu = SAEStack.init(SAEConfig("relu", 16, 3, {"coefficient": 0.5}), 8, [7])
    save_saelens(relu, tmp_path / "folder")
    cfg = json.loads((tmp_path / "folder" / "cfg.json").read_text())
    assert cfg["metadata"]["synthsae"]["config"].pop("options") == {"coefficient": 0.5}
    cfg["metadata"]["synthsae"]["config"] |= OLD | {"coefficient": 0.5}
    (tmp_path / "folder" / "cfg.json").write_text(json.dumps(cfg))
    assert load_saelens(tmp_path / "folder").config == relu.config
    assert not recwarn.list


def test_a_check_of_the_options_class_runs() -> None:
    @dataclass(frozen=True)
    class Checked:
        price: float = 0.5

        def __post_init__(self) -> None:
            within("sae.options.price", self.price, 0)

    ARCHITECTURES["priced"] = type("Priced", (TopK,), {"Options": Checked})
    assert refused(lambda: SAEConfig("priced", options={"price": -1.0})) == (
        "sae.options.price",
        -1.0,
    )
