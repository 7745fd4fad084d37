"""Configs made in Python, and activation sources of a user's own, of right and wrong types."""

import json
from dataclasses import MISSING, asdict, fields, is_dataclass
from math import isfinite
from typing import Any, get_args

import numpy as np
import torch
from fuzzing import answer, numbers, values
from hypothesis import strategies as st

from synthsae.config import architecture_options
from synthsae.config.sources import SourceConfig
from synthsae.sae import ARCHITECTURES, SAEConfig
from synthsae.train import TrainConfig, train
from synthsae.world import World, WorldConfig

CLASSES = {c.__name__: c for c in (WorldConfig, SAEConfig, TrainConfig, SourceConfig)}
WORDS = (
    "auto cpu cuda shared independent isotropic sparse generalised_normal normal constant float32"
)
WORDS = [*WORDS.split(), *ARCHITECTURES, "bfloat16", "resid_post", "./x", ""]
unlike = {"np.int64(3)": np.int64(3), "np.float32(.5)": np.float32(0.5), "np.str_": np.str_("cpu")}
unlike |= {"array": np.arange(3), "tensor": torch.tensor(2), "type": int, "bytes": b"cpu"}
right = {int: numbers, float: st.floats() | st.floats(0, 2), bool: st.booleans()}
right |= {str: st.sampled_from(WORDS), type(None): st.none()}
OPTIONS = sorted({name.rpartition(".")[2] for name, *_ in architecture_options()})
right[Any] = st.none() | st.dictionaries(st.sampled_from(OPTIONS), numbers, max_size=1)


def value_of(field):
    kinds = get_args(field.type) or (field.type,)
    fit = st.one_of(*(right[kind] for kind in kinds))
    fit = fit if field.default is MISSING else fit | st.just(field.default)
    return fit | fit | fit | values | st.sampled_from(sorted(unlike)).map(lambda u: {"unlike": u})


@st.composite
def configs(draw):
    name = draw(st.sampled_from(sorted(CLASSES)))
    of = {f.name: value_of(f) for f in fields(CLASSES[name])}
    return name, draw(st.fixed_dictionaries({}, optional=of))


def check_config(example):
    """Refused, or a config whose fields are of their types and come back from JSON."""
    name, given = example
    of = {k: unlike.get(v.get("unlike"), v) if isinstance(v, dict) else v for k, v in given.items()}
    config = answer(lambda: CLASSES[name](**of))
    if config is None:
        return
    for f in fields(config):
        value = getattr(config, f.name)
        kinds = ARCHITECTURES[config.arch].Options if f.type is Any else f.type
        assert type(value) in (get_args(kinds) or (kinds,)), f"type of {name}.{f.name}"
        bounded = not isinstance(value, float) or isfinite(value) or f.name == "beta"
        assert bounded, f"{name}.{f.name} is not finite"
    assert type(config)(**json.loads(json.dumps(asdict(config)))) == config, "not the same again"
    hash(config)


def test_configs(fuzz):
    fuzz(check_config, configs())


def check_world(example):
    """A small world is refused when it is configured, or can be planted and sampled."""
    small = answer(lambda: WorldConfig(**example))
    if small is not None:
        x = answer(lambda: World.plant(small, seed=0).batch(0, 64, seed=1))
        assert x is not None, "refused only when it was planted"
        assert x.shape == (64, small.d_model)
        assert torch.isfinite(x).all(), "not finite"


DEFAULTS = {f.name: f for f in fields(WorldConfig) if not is_dataclass(f.type)}
SMALL = {int: st.integers(0, 9), float: st.floats(0, 1) | st.floats(0, 10), bool: st.booleans()}
SMALL |= {str: right[str], type(None): st.none()}
worlds = st.fixed_dictionaries(
    {
        "d_model": st.integers(1, 24),
        "n_isolated": st.integers(0, 24),
        "n_blocks": st.integers(0, 3),
    },
    optional={
        name: st.one_of(*(SMALL[kind] for kind in get_args(f.type) or (f.type,)))
        for name, f in DEFAULTS.items()
        if name not in ("d_model", "n_isolated", "n_blocks")
    },
)


def test_worlds(fuzz):
    fuzz(check_world, worlds)


class Source:
    """A source of a user's own, as the example says."""

    def __init__(self, example):
        self.example, self.d_model = example, example["d_model"]

    def batch(self, t, size, *, seed, stream="data", device="cpu"):
        e, rng = self.example, np.random.default_rng([t, seed])
        shape = [{"size": size, "D": 6}.get(n, n) for n in e["shape"]]
        x = np.asarray(rng.standard_normal(shape)) * e["scale"]
        if x.ndim and x.size and t >= 2:
            x.flat[0] = e["value"]
        with np.errstate(all="ignore"):
            x = torch.tensor(x).to(getattr(torch, e["dtype"]))
        as_numpy = (x.float() if x.is_floating_point() else x).numpy()
        made = {"tensor": x, "numpy": as_numpy, "list": x.tolist(), "none": None}
        return made.get(e["type"], x.clone().requires_grad_(x.is_floating_point()))


sources = st.fixed_dictionaries(
    {
        "d_model": st.sampled_from([6, 6, 6, 6, 5, 6.0, "6", None, 0, -1, np.int64(6)]),
        "shape": st.just(["size", "D"])
        | st.lists(st.sampled_from(["size", "D", 1, 0]), max_size=3),
        "dtype": st.sampled_from(
            ["float32"] * 4 + ["float64", "float16", "bfloat16", "int64", "bool"]
        ),
        "type": st.sampled_from(["tensor"] * 4 + ["numpy", "list", "none", "grad"]),
        "scale": st.sampled_from([1.0, 1.0, 0.0, 1e-30, 1e30]),
        "value": st.sampled_from([1.0, 1.0, np.nan, np.inf]),
        "arch": st.sampled_from([a for a in sorted(ARCHITECTURES) if a != "kron"]),
    }
)


def check_source(example):
    """Refused in a line that names it, or trained: not all of the SAEs were given up."""
    how = TrainConfig(n_steps=4, batch_size=16, device="cpu")
    sae = SAEConfig(arch=example["arch"], n_latents=8, k=2)
    call = lambda: train(Source(example), sae, how, seeds=[0, 1])  # noqa: E731
    trained = answer(call, FloatingPointError)
    if trained is not None:
        assert example["shape"] == ["size", "D"], "another shape was trained on"
        assert len(trained.frozen) < 2, "returned though every SAE was given up"
        for name, p in trained.stack.params.items():
            assert torch.isfinite(p).all() or "threshold" in name, "not finite"


def test_sources(fuzz):
    fuzz(check_source, sources)
