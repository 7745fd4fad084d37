import itertools
import random

import numpy as np
import pytest
import torch

from synthsae import rng
from synthsae.checks import ConfigError
from synthsae.evaluation import evaluate
from synthsae.sae import SAEConfig, SAEStack
from synthsae.train import TrainConfig, train
from synthsae.world import LAWS, World, WorldConfig

SEEDS = (0, 1, 7, 2**32, 2**32 + 1)
COUNTERS = ((), (0,), (1,), (7,), (0, 0), (0, 1), (1, 0))
ELEMENTS = list(itertools.product(rng.STREAMS, SEEDS, COUNTERS))


def numpy_bits(stream, seed, *counter):
    return tuple(rng.numpy_generator(stream, seed, *counter).integers(2**63, size=2))


def torch_bits(stream, seed, *counter):
    g = rng.torch_generator(stream, seed, *counter)
    return tuple(torch.randint(2**62, (2,), generator=g).tolist())


@pytest.mark.parametrize("bits", [numpy_bits, torch_bits])
def test_an_element_is_a_function_of_stream_seed_and_counter(bits):
    drawn = [bits(stream, seed, *counter) for stream, seed, counter in ELEMENTS]
    again = [bits(stream, seed, *counter) for stream, seed, counter in reversed(ELEMENTS)]
    assert drawn == again[::-1]
    assert len(set(drawn)) == len(ELEMENTS)


@pytest.mark.parametrize(
    ("a", "b"),
    [(("world", 3), ("data", 3)), (("data", 3), ("data", 4)), (("data", 3, 0), ("data", 3, 1))],
)
def test_streams_seeds_and_counters_are_uncorrelated(a, b):
    n = 20_000
    x, y = (rng.numpy_generator(*key).standard_normal(n) for key in (a, b))
    assert abs(np.mean(x * y)) < 5 / n**0.5
    x, y = (torch.randn(n, generator=rng.torch_generator(*key)) for key in (a, b))
    assert abs((x * y).mean()) < 5 / n**0.5


def test_unknown_streams_and_negative_seeds_and_counters_are_refused_in_one_line():
    bad = {("stream", "wrold"): ("wrold", 0), ("seed", -1): ("world", -1)}
    bad |= {("seed", None): ("world", None), ("counter", -2): ("world", 0, 1, -2)}
    for make in (rng.sequence, rng.numpy_generator, rng.torch_generator, rng.word):
        for (field, value), element in bad.items():
            with pytest.raises(ConfigError) as error:
                make(*element)
            assert (error.value.field, error.value.value) == (field, value)
            assert "\n" not in str(error.value)


def global_states():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return [name, keys.tolist(), rest, torch.get_rng_state().tolist(), random.getstate()]


@pytest.mark.parametrize("law", LAWS)
def test_nothing_draws_from_a_global_generator(law):
    before = global_states()
    config = WorldConfig(
        d_model=8, n_isolated=4, n_blocks=2, rank=2, law=law, magnitude="exponential", noise=0.1
    )
    world, sae = World.plant(config, seed=0), SAEConfig(n_latents=8, k=2)
    world.batch(0, 16, seed=0)
    SAEStack.init(sae, 8, (0, 1))
    trained = train(world, sae, TrainConfig(n_steps=2, batch_size=8), seeds=[0, 1])
    evaluate(trained.stack, world, 32)
    assert global_states() == before
