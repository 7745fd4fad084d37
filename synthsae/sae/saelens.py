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

Only what encoding and decoding need crosses over; the state of training is that of step 0. Decoder
rows keep the length that they have in the folder, except under `rescale_acts_by_decoder_norm`.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors.torch import save
from torch import Tensor

from synthsae import files
from synthsae.checks import ConfigError, one_of
from synthsae.deprecated import OPTIONS
from synthsae.sae import saelens_weights as weights
from synthsae.sae.base import ARCHITECTURES, SAEConfig
from synthsae.sae.saelens_weights import TENSORS, WEIGHTS
from synthsae.sae.stack import SAEStack

CONFIG = "cfg.json"
LAYOUT = "6.0.0"
"""The version of SAELens that brought this layout; it reads a config without one as an older."""

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
    files.make(folder, "folder")
    files.write_all({folder / WEIGHTS: data, folder / CONFIG: text.encode()}, "folder")


def load_saelens(*folders: str | Path, device: str = "cpu") -> SAEStack:
    """The SAEs of these folders as a stack: one, or several that agree in config.

    Codes and reconstructions are SAELens's, bit for bit but for the order of sums. Two settings are
    folded into the weights, which rounds them once: `apply_b_dec_to_input: false` (b_enc takes
    W_enc b_dec) and `rescale_acts_by_decoder_norm` (the norms of decoder rows go to the encoder).
    A folder written here comes back as the architecture and under the seed it had; others are
    `relu`, `topk`, `jumprelu` or `gated`, numbered in order, with the default `k` where it plays no
    part in encoding. `log_threshold` is float64, which holds every float32 threshold; all else is
    float32. What only training needs, such as a multiplier, is as at step 0.

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
    params = weights.read(folder / WEIGHTS, kind, size["d_in"], size["d_sae"])
    if _flag(cfg, "rescale_acts_by_decoder_norm", False, where) and kind == "topk":
        weights.fold_norms(params)
    if not _flag(cfg, "apply_b_dec_to_input", True, where):
        weights.fold_bias(params)
    metadata = cfg.get("metadata")
    ours = metadata.get("synthsae") if isinstance(metadata, dict) else None
    config, seed = None, None
    if isinstance(ours, dict):
        config = _recorded(ours.get("config"), kind, size["d_sae"], k, params, where)
        seed = ours.get("seed") if isinstance(ours.get("seed"), int) else None
    if config is None:
        k = k or min(SAEConfig().k, size["d_sae"])
        config = SAEConfig(arch=_read_as(kind), n_latents=size["d_sae"], k=k)
    if "threshold" in params:
        weights.name_threshold(params, config.arch)
    return _Read(config, seed, _training_state(config) | params)


def _config(path: Path) -> dict[str, Any]:
    """The config in `path`."""
    try:
        cfg = json.loads(path.read_bytes())
    except OSError as error:
        raise ConfigError("folder", str(path.parent), f"one that has {path.name}") from error
    except (ValueError, RecursionError) as error:
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


def _recorded(
    recorded: Any, kind: str, m: int, k: int | None, params: dict[str, Tensor], where: str
) -> SAEConfig | None:
    """The config that `save_saelens` recorded, where it still says the same as the folder."""
    known = {*OPTIONS, *(f.name for f in fields(SAEConfig))}
    if not isinstance(recorded, dict) or not recorded.keys() <= known:
        return None
    arch = str(recorded.get("arch"))
    if arch not in ARCHITECTURES or ARCHITECTURES[arch].saelens != kind:
        return None
    if recorded.get("n_latents") != m:
        return None
    if type(recorded.get("k")) is not int or recorded["k"] != (k or recorded["k"]):
        return None
    if "threshold" in ARCHITECTURES[arch].buffers and len(params["threshold"].unique()) > 1:
        return None
    try:
        return SAEConfig.from_record(recorded)
    except (TypeError, ValueError) as error:
        name = f"{where}metadata.synthsae.config"
        raise ConfigError(name, recorded, f"what save_saelens wrote ({error})") from error


def _training_state(config: SAEConfig) -> dict[str, Tensor]:
    """What no gradient moves, at step 0; it does not depend on D, so that D = 1 will do."""
    sae = ARCHITECTURES[config.arch](config)
    return {name: p for name, p in sae.init(1, 0).items() if name in sae.buffers}


def _read_as(kind: str) -> str:
    """The first architecture registered that SAELens's `kind` is read as: by its own class."""
    return next(n for n, a in ARCHITECTURES.items() if kind in vars(a).get("read_from_saelens", ()))


def _written_as(arch: str) -> str:
    """What SAELens runs it as: as its class says, and not one that it inherits from."""
    one_of("sae.arch", arch, ARCHITECTURES)
    known = {name: found for name, a in ARCHITECTURES.items() if (found := vars(a).get("saelens"))}
    if arch not in known:
        raise ConfigError("sae.arch", arch, f"{', '.join(known)}; SAELens has none that runs it")
    return known[arch]
