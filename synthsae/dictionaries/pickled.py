"""Read the tensors of a file that `torch.save` wrote, with PyTorch's weights-only reader.

That reader builds tensors, numbers, texts and containers of these. It calls nothing that the file
names, and a file that names anything else is refused.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from synthsae.checks import ConfigError
from synthsae.dictionaries.layout import UNNAMED

ENDINGS = (".pt", ".pth", ".bin", ".pkl", ".pickle", ".ckpt")
REFUSED = re.compile(r"GLOBAL ([\w.]+)")
"""Where PyTorch's error says what a file would have called."""

TYPES = {torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16"}


def load(path: Path) -> dict[str, Tensor]:
    """The tensors in a file by name; names of nested dictionaries are joined by dots.

    Raises:
        ConfigError: the file is damaged, or it needs more than the weights-only reader.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # they name internals of the reader
            found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle can raise any of them
        allowed = "a .pt file of tensors, or of dictionaries of tensors (safetensors is safer)"
        if called := REFUSED.search(str(error)):
            why = f"a pickle that calls {called[1]}; loading it could run code"
            raise ConfigError(str(path), why, allowed) from None
        why = " ".join((str(error) or type(error).__name__).split())[:150]
        raise ConfigError(str(path), f"a pickle that cannot be read: {why}", allowed) from None
    return {".".join(names) or UNNAMED: tensor for names, tensor in _tensors(found, ())}


def _tensors(found: Any, names: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    """The tensors in nested dictionaries; what else is there, such as a step count, is left out."""
    if isinstance(found, Tensor):
        yield names, found.detach()
    elif isinstance(found, Mapping):
        for name, value in found.items():
            yield from _tensors(value, (*names, str(name)))


def type_of(x: Tensor) -> str:
    """The type as safetensors call it; other words for a tensor that is no plain array."""
    if x.layout is not torch.strided or x.is_quantized or x.device.type != "cpu":
        return f"a {x.layout} tensor of {x.dtype} on {x.device.type}".replace("torch.", "")
    if x.numel() * x.element_size() > x.untyped_storage().nbytes():
        return "a tensor that repeats its numbers"  # a small file could ask for all memory
    return TYPES.get(x.dtype, str(x.dtype).removeprefix("torch."))
