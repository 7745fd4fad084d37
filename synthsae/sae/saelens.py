"""The folder in which SAELens keeps one SAE for inference: `cfg.json`, `sae_weights.safetensors`.

Written as SAELens 6 writes it; read from that and from older versions' configs. SAELens holds
W_enc as [D, M] and W_dec as [M, D], and encodes x - b_dec unless `apply_b_dec_to_input` is false.

| here                                    | SAELens    |                                           |
|-----------------------------------------|------------|-------------------------------------------|
| topk, matryoshka, hierarchical_topk     | `topk`     | all three choose k latents of a sample    |
| batchtopk                               | `jumprelu` | its threshold, once for each latent       |
| jumprelu                                | `jumprelu` | threshold = exp(log_threshold)            |
| relu                                    | `standard` |                                           |
| gated                                   | `gated`    | b_gate, r_mag, b_mag                      |
| kron                                    | none       | its encoder is not a matrix [D, M]        |

Only what encoding and decoding need crosses over: no state of training. Decoder rows keep the
length that they have in the folder, except under `rescale_acts_by_decoder_norm`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from synthsae import files
from synthsae.checks import ConfigError, one_of
from synthsae.sae.base import SAEConfig
from synthsae.sae.kernels import reciprocal
from synthsae.sae.stack import SAEStack

CONFIG, WEIGHTS = "cfg.json", "sae_weights.safetensors"
LAYOUT = "6.0.0"
"""The version of SAELens that brought this layout; it reads a config without one as an older."""

_LINEAR = {"W_enc": "w_enc", "W_dec": "w_dec", "b_dec": "b_dec"}
TENSORS = {
    "standard": _LINEAR | {"b_enc": "b_enc"},
    "topk": _LINEAR | {"b_enc": "b_enc"},
    "jumprelu": _LINEAR | {"b_enc": "b_enc", "threshold": "threshold"},
    "gated": _LINEAR | {"b_gate": "b_enc", "r_mag": "r_mag", "b_mag": "b_mag"},
}
"""Tensors of each architecture of SAELens, and our parameter that each is."""

WRITTEN_AS = {
    "topk": "topk",
    "matryoshka": "topk",
    "hierarchical_topk": "topk",
    "batchtopk": "jumprelu",
    "jumprelu": "jumprelu",
    "relu": "standard",
    "gated": "gated",
}
READ_AS = {"standard": "relu", "topk": "topk", "jumprelu": "jumprelu", "gated": "gated"}

_SAMPLE = "none: it depends on each sample, and no weights can do it"
_FOLD = "none: the scale is not in the folder; fold it into the weights in SAELens"
NORMALISED = {"constant_norm_rescale": _SAMPLE, "layer_norm": _SAMPLE}


def save_saelens(
    stack: SAEStack,
    folder: str | Path,
    *,
    position: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write the SAE at `position` of the stack as a folder that SAELens loads.

    The folder has the SAE as it is, for activations as it was trained on them. One trained on what
    `realdata` centred and scaled wants `Activations.normal.fold` first: nothing in the folder can
    say so.

    `metadata` is what SAELens should know of it, such as `model_name` and `hook_name`. Raises
    ConfigError for an architecture that SAELens has not.
    """
    config, kind = stack.config, _written_as(stack.config.arch)
    if not 0 <= position < len(stack.seeds):
        raise ConfigError("position", position, f"0 to {len(stack.seeds) - 1}")
    params = {name: p[position].detach() for name, p in stack.params.items()}
    m, d = params["w_dec"].shape
    if kind == "jumprelu":
        log = params.get("log_threshold")
        params["threshold"] = params["threshold"].expand(m) if log is None else log.exp()
    tensors = {name: params[own] for name, own in TENSORS[kind].items()}
    tensors["W_enc"] = tensors["W_enc"].T
    ours = {"config": asdict(config), "seed": stack.seeds[position]}
    about = dict(metadata or {}) | {
        "sae_lens_version": LAYOUT,
        "sae_lens_training_version": None,
        "training_architecture": config.arch,
        "synthsae": ours,
    }
    cfg = {"architecture": kind, "d_in": d, "d_sae": m, "dtype": "float32", "device": "cpu"}
    cfg |= {"apply_b_dec_to_input": True, "normalize_activations": "none"}
    cfg |= {"reshape_activations": "none", "metadata": about}
    if kind == "topk":
        cfg |= {"k": config.k, "rescale_acts_by_decoder_norm": False}
    try:
        text = json.dumps(cfg, indent=2)
    except (TypeError, ValueError) as error:
        raise ConfigError("metadata", metadata, f"what JSON can hold ({error})") from error
    rows = torch.contiguous_format
    data = save({n: t.float().cpu().clone(memory_format=rows) for n, t in tensors.items()})
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files.write(folder / WEIGHTS, data)
    files.write(folder / CONFIG, text.encode())


def load_saelens(*folders: str | Path, device: str = "cpu") -> SAEStack:
    """The SAEs of these folders as a stack, in float32: one, or several that agree in config.

    Codes and reconstructions are SAELens's, bit for bit but for the order of sums. Two settings are
    folded into the weights, which rounds them once: `apply_b_dec_to_input: false` (b_enc takes
    W_enc b_dec) and `rescale_acts_by_decoder_norm` (the norms of decoder rows go to the encoder).
    A folder written here comes back as the architecture and under the seed it had; others are
    `relu`, `topk`, `jumprelu` or `gated`, numbered in order, with the default `k` where it plays no
    part in encoding. `log_threshold` is float64, which holds every float32 threshold.

    Raises ConfigError for a folder that says anything else. Nothing is unpickled.
    """
    if not folders:
        raise ConfigError("folders", folders, "one folder or more")
    read = [_read(Path(folder)) for folder in folders]
    first = read[0]
    for folder, sae in zip(folders, read, strict=True):
        if (sae.config, sae.d_model) != (first.config, first.d_model):
            raise ConfigError(str(folder), sae.config, f"the config of {folders[0]}")
    seeds = tuple(sae.seed for sae in read if sae.seed is not None)
    if len(set(seeds)) < len(read):
        seeds = tuple(range(len(read)))
    params = {n: torch.stack([sae.params[n] for sae in read]).to(device) for n in first.params}
    return SAEStack(first.config, seeds, params)


class _Read(NamedTuple):
    """One SAE from a folder: parameters have no seed axis."""

    config: SAEConfig
    seed: int | None
    params: dict[str, Tensor]

    @property
    def d_model(self) -> int:
        return self.params["w_dec"].shape[1]


def _read(folder: Path) -> _Read:
    cfg = _config(folder / CONFIG)
    kind, where = _kind(cfg, folder), f"{folder / CONFIG}: "
    size = {n: _whole(cfg.get(n), where + n) for n in ("d_in", "d_sae")}
    k = None
    if kind == "topk":
        older = cfg.get("activation_fn_kwargs")
        k = older.get("k") if isinstance(older, dict) else None
        k = _whole(cfg.get("k") if k is None else k, where + "k", size["d_sae"])
    params = _tensors(folder / WEIGHTS, kind, size["d_in"], size["d_sae"])
    if _flag(cfg, "rescale_acts_by_decoder_norm", False, where) and kind == "topk":
        _fold_norms(params)
    if not _flag(cfg, "apply_b_dec_to_input", True, where):
        _fold_bias(params)
    metadata = cfg.get("metadata")
    ours = metadata.get("synthsae") if isinstance(metadata, dict) else None
    config, seed = None, None
    if isinstance(ours, dict):
        config = _recorded(ours.get("config"), kind, size["d_sae"], k, params)
        seed = ours.get("seed") if isinstance(ours.get("seed"), int) else None
    if config is None:
        k = k or min(SAEConfig().k, size["d_sae"])
        config = SAEConfig(arch=READ_AS[kind], n_latents=size["d_sae"], k=k)
    if "threshold" in params:
        _name_threshold(params, config.arch)
    return _Read(config, seed, params)


def _config(path: Path) -> dict[str, Any]:
    """The config in `path`."""
    try:
        cfg = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError("folder", str(path.parent), f"one that has {path.name}") from error
    except ValueError as error:
        raise ConfigError(str(path), str(error), "JSON") from error
    if not isinstance(cfg, dict):
        raise ConfigError(str(path), type(cfg).__name__, "a JSON object")
    return cfg


def _kind(cfg: dict[str, Any], folder: Path) -> str:
    """SAELens's name of the architecture; raises where the config asks for more than we do."""
    where = f"{folder / CONFIG}: "
    activation = cfg.get("activation_fn") or cfg.get("activation_fn_str") or "relu"
    one_of(where + "activation_fn", activation, ("relu", "topk"))
    kind = "topk" if activation == "topk" else cfg.get("architecture", "standard")
    one_of(where + "architecture", kind, tuple(TENSORS))
    normalised = cfg.get("normalize_activations") or "none"  # older configs have a bool or null
    if normalised != "none":
        allowed = NORMALISED.get(str(normalised), _FOLD)
        raise ConfigError(where + "normalize_activations", normalised, allowed)
    hook = str(cfg.get("hook_name") or cfg.get("hook_point") or "")
    reshape = cfg.get("reshape_activations", "hook_z" if "hook_z" in hook else "none")
    one_of(where + "reshape_activations", reshape, ("none",))
    d_out = cfg.get("d_out", cfg.get("d_in"))
    if d_out != cfg.get("d_in"):
        raise ConfigError(where + "d_out", d_out, "d_in: this is a transcoder")
    return kind


def _whole(value: Any, name: str, most: int | None = None) -> int:
    if type(value) is int and 0 < value <= (most or value):
        return value
    raise ConfigError(name, value, f"1 to {most}" if most else "a number, 1 or more")


def _flag(cfg: dict[str, Any], name: str, default: bool, where: str) -> bool:
    value = cfg.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(where + name, value, "true, false")
    return value


def _tensors(path: Path, kind: str, d: int, m: int) -> dict[str, Tensor]:
    """Our parameters (and `threshold` [M] as it is) in float32, each of the right shape."""
    if not path.is_file():
        allowed = f"one that has {path.name} (no other file of weights is read)"
        raise ConfigError("folder", str(path.parent), allowed)
    try:
        with safe_open(path, framework="pt") as f:
            found = {name: f.get_tensor(name) for name in f.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ConfigError(str(path), str(error), "a whole safetensors file") from error
    scale = found.pop("scaling_factor", None)  # which old versions wrote even when it did nothing
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
    found["W_enc"] = found["W_enc"].T.contiguous()
    return {names[name]: tensor.float() for name, tensor in found.items()}


def _fold_norms(params: dict[str, Tensor]) -> None:
    """Make decoder rows unit vectors whose latents fire as much more; one of length 0 is dead."""
    norm = torch.linalg.vector_norm(params["w_dec"].double(), dim=1)
    by = {"w_enc": norm[:, None], "b_enc": norm, "w_dec": reciprocal(norm)[:, None]}
    params |= {name: (params[name].double() * factor).float() for name, factor in by.items()}


def _fold_bias(params: dict[str, Tensor]) -> None:
    """W_enc x + b_enc as W_enc (x - b_dec) + (b_enc + W_enc b_dec)."""
    shift = params["w_enc"].double() @ params["b_dec"].double()
    by = {"b_enc": shift}
    if "r_mag" in params:
        by["b_mag"] = shift * params["r_mag"].double().exp()
    params |= {name: (params[name].double() + more).float() for name, more in by.items()}


def _recorded(
    recorded: Any, kind: str, m: int, k: int | None, params: dict[str, Tensor]
) -> SAEConfig | None:
    """The config that `save_saelens` recorded, where it still says the same as the folder."""
    if not isinstance(recorded, dict) or not recorded.keys() <= {f.name for f in fields(SAEConfig)}:
        return None
    arch = str(recorded.get("arch"))
    if WRITTEN_AS.get(arch) != kind or recorded.get("n_latents") != m:
        return None
    if type(recorded.get("k")) is not int or recorded["k"] != (k or recorded["k"]):
        return None
    if arch == "batchtopk" and len(params["threshold"].unique()) > 1:
        return None
    return SAEConfig(**recorded)


def _name_threshold(params: dict[str, Tensor], arch: str) -> None:
    """Turn `threshold` [M] into what `arch` has: one number, or its logarithms.

    SAELens multiplies by relu, so that a threshold below 0 is one of 0. The logarithm points just
    above t, by less than half the gap to the next float32: pre > exp(log t) exactly where pre > t.
    """
    threshold = params.pop("threshold")
    if arch == "batchtopk":
        params["threshold"] = threshold[0].clamp(min=0)
    else:
        params["log_threshold"] = (threshold.double().clamp(min=0) * (1 + 2**-26)).log()


def _written_as(arch: str) -> str:
    if arch == "kron":
        reason = "SAELens has no encoder whose latents are products of factors"
        raise ConfigError("sae.arch", arch, f"{', '.join(WRITTEN_AS)}; {reason}")
    one_of("sae.arch", arch, WRITTEN_AS)
    return WRITTEN_AS[arch]
