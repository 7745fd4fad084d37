"""Named random streams: a random number is a function of a stream, a seed and a counter.

Streams keep the sources of chance apart: `world` (what is planted), `init` (where an SAE starts),
`data` (what it sees), `eval` (what it is judged on) and `null` (what it is compared with). World
seed 3 and data seed 3 therefore share nothing, and nothing here touches a global generator.
"""

import numpy as np
import torch

STREAMS = ("world", "init", "data", "eval", "null")


def sequence(stream: str, seed: int, *counter: int) -> np.random.SeedSequence:
    """The seed sequence of `stream` at `seed`; `counter` picks one element of the stream.

    Raises ValueError for a stream that is not in `STREAMS` and for negative seeds.
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
    """A torch generator for one element of a stream: equal bits on one type of device."""
    return torch.Generator(device=device).manual_seed(word(stream, seed, *counter))


def word(stream: str, seed: int, *counter: int) -> int:
    """64 bits for one element of a stream: what seeds a generator, or is the key of one."""
    return int(sequence(stream, seed, *counter).generate_state(1, np.uint64)[0])
