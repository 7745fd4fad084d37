"""Read the tensors of a SAELens folder as parameters, and fold settings into them."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from synthsae.checks import ConfigError
from synthsae.sae.base import ARCHITECTURES, check_finite
from synthsae.sae.kernels import reciprocal

WEIGHTS = "sae_weights.safetensors"

_LINEAR = {"W_enc": "w_enc", "W_dec": "w_dec", "b_dec": "b_dec"}
TENSORS = {
    "standard": _LINEAR | {"b_enc": "b_enc"},
    "topk": _LINEAR | {"b_enc": "b_enc"},
    "jumprelu": _LINEAR | {"b_enc": "b_enc", "threshold": "threshold"},
    "gated": _LINEAR | {"b_gate": "b_enc", "r_mag": "r_mag", "b_mag": "b_mag"},
}
"""SAELens architecture -> name of a tensor in SAELens -> name of our parameter."""


def read(path: Path, kind: str, d: int, m: int) -> dict[str, Tensor]:
    """The parameters of one SAE in float32, by our names.

    `threshold` [M] is returned as it is; `convert_threshold` converts it. A threshold may be
    infinite: the latent then never fires.

    Args:
        path: the safetensors file.
        kind: the architecture in SAELens.
        d: dimension D of an activation, `d_in` of the config.
        m: number of latents M, `d_sae` of the config.

    Raises:
        ConfigError: for a missing or damaged file, other tensors than `kind` has, another shape,
            and values that are not finite.
    """
    if not path.is_file():
        allowed = f"one that has {path.name} (no other file of weights is read)"
        raise ConfigError("folder", str(path.parent), allowed)
    try:
        with safe_open(path, framework="pt") as f:
            found = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise ConfigError(str(path), str(error), "a whole safetensors file") from error
    scale = found.pop("scaling_factor", None)  # old versions wrote it even where it is all ones
    if scale is not None and not torch.allclose(scale, torch.ones_like(scale)):
        raise ConfigError(f"{path}: scaling_factor", "not 1", "1: no finetuned scale")
    names = TENSORS[kind]
    if found.keys() != names.keys():
        raise ConfigError(f"{path}: tensors", sorted(found), f"{kind} has {', '.join(names)}")
    shapes = {"W_enc": (d, m), "W_dec": (m, d), "b_dec": (d,)}
    for name, tensor in found.items():
        if (shape := tuple(tensor.shape)) != (right := shapes.get(name, (m,))):
            raise ConfigError(f"{path}: {name}", shape, f"shape {right}")
        if not tensor.is_floating_point():
            raise ConfigError(f"{path}: {name}", tensor.dtype, "floating-point numbers")
        found[name] = tensor.float()
        check_finite(f"{path}: {name}", found[name], infinite=name == "threshold")
    found["W_enc"] = found["W_enc"].T.contiguous()
    return {names[name]: tensor for name, tensor in found.items()}


def fold_norms(params: dict[str, Tensor]) -> None:
    """Scale decoder rows to unit norm and encoder rows by the old norms, in place.

    A latent whose decoder row is 0 gets an encoder row of 0, and never fires.
    """
    norm = torch.linalg.vector_norm(params["w_dec"].double(), dim=1)
    by = {"w_enc": norm[:, None], "b_enc": norm, "w_dec": reciprocal(norm)[:, None]}
    params |= {name: (params[name].double() * factor).float() for name, factor in by.items()}


def fold_bias(params: dict[str, Tensor]) -> None:
    """Fold W_enc b_dec into `b_enc`: W_enc x + b_enc = W_enc (x - b_dec) + b_enc + W_enc b_dec."""
    shift = params["w_enc"].double() @ params["b_dec"].double()
    by = {"b_enc": shift}
    if "r_mag" in params:
        by["b_mag"] = shift * params["r_mag"].double().exp()
    params |= {name: (params[name].double() + more).float() for name, more in by.items()}


def convert_threshold(params: dict[str, Tensor], arch: str) -> None:
    """Replace `threshold` [M] by the parameter of `arch`, `threshold` [] or `log_threshold` [M].

    SAELens applies relu as well, so a threshold below 0 acts as 0. The logarithm is that of a
    number slightly above t, by less than half the distance to the next float32 number. Then pre >
    exp(log_threshold) holds exactly where pre > t.
    """
    threshold = params.pop("threshold")
    if "threshold" in ARCHITECTURES[arch].buffers:
        params["threshold"] = threshold[0].clamp(min=0)
    else:
        params["log_threshold"] = (threshold.double().clamp(min=0) * (1 + 2**-26)).log()
