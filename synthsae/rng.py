"""Named random streams: a random number is a function of a stream, a seed and a counter.

Streams keep sources of randomness independent: `world` (planted features), `init` (initial
parameters of an SAE), `data` (training samples), `eval` (evaluation samples) and `null` (null
distributions). World seed 3 and data seed 3 therefore share nothing. No function here touches a
global generator.
"""

import numpy as np
import torch

from synthsae.checks import count, one_of

STREAMS = ("world", "init", "data", "eval", "null")


def sequence(stream: str, seed: int, *counter: int) -> np.random.SeedSequence:
    """The NumPy seed sequence of one element of a stream.

    Args:
        stream: one of `STREAMS`.
        seed: seed of the stream, 0 or more.
        *counter: integers, 0 or more, that select an element of the stream.

    Raises:
        ConfigError: for another stream, and for a negative seed or counter.
    """
    one_of("stream", stream, STREAMS)
    element = (count("counter", number, 0) for number in counter)
    key = (STREAMS.index(stream), *element)
    return np.random.SeedSequence(count("seed", seed, 0), spawn_key=key)


def numpy_generator(stream: str, seed: int, *counter: int) -> np.random.Generator:
    """A NumPy generator for one element of a stream. Arguments and errors as of `sequence`."""
    return np.random.default_rng(sequence(stream, seed, *counter))


def torch_generator(
    stream: str, seed: int, *counter: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A PyTorch generator for one element of a stream. Arguments and errors as of `sequence`.

    The generators of a CPU and of a GPU draw different numbers.
    """
    return torch.Generator(device=device).manual_seed(word(stream, seed, *counter))


def word(stream: str, seed: int, *counter: int) -> int:
    """64 random bits for one element of a stream: the seed or the key of another generator.

    Arguments and errors as of `sequence`.
    """
    return int(sequence(stream, seed, *counter).generate_state(1, np.uint64)[0])
