"""Named random streams: a random number is a function of a stream, a seed and a counter.

Streams keep sources of randomness independent: `world` (planted features), `init` (initial
parameters of an SAE), `data` (training samples), `eval` (evaluation samples) and `null` (null
distributions). World seed 3 and data seed 3 therefore share nothing. No function here touches a
global generator.
"""

import numpy as np
import torch

STREAMS = ("world", "init", "data", "eval", "null")


def sequence(stream: str, seed: int, *counter: int) -> np.random.SeedSequence:
    """The seed sequence of `stream` at `seed`; `counter` selects one element of the stream.

    Raises:
        ValueError: for a stream that is not in `STREAMS` and for a negative seed.
    """
    if stream not in STREAMS:
        raise ValueError(f"stream: {stream!r}; allowed: {', '.join(STREAMS)}")
    if seed < 0:
        raise ValueError(f"seed: {seed}; allowed: 0 or more")
    return np.random.SeedSequence(seed, spawn_key=(STREAMS.index(stream), *counter))


def numpy_generator(stream: str, seed: int, *counter: int) -> np.random.Generator:
    """A NumPy generator for one element of a stream."""
    return np.random.default_rng(sequence(stream, seed, *counter))


def torch_generator(
    stream: str, seed: int, *counter: int, device: torch.device | str = "cpu"
) -> torch.Generator:
    """A torch generator for one element of a stream; its numbers depend on the type of device."""
    return torch.Generator(device=device).manual_seed(word(stream, seed, *counter))


def word(stream: str, seed: int, *counter: int) -> int:
    """64 random bits for one element of a stream, to seed a generator or to be its key."""
    return int(sequence(stream, seed, *counter).generate_state(1, np.uint64)[0])
