"""SAEs in the format of SAELens: a folder of `cfg.json` and `sae_weights.safetensors`.

Folders are written in the layout of SAELens 6; folders of older versions can be read as well.
SAELens holds W_enc as [D, M] and W_dec as [M, D], and encodes x - b_dec unless
`apply_b_dec_to_input` is false.

| here                                    | SAELens    |                                           |
|-----------------------------------------|------------|-------------------------------------------|
| topk, matryoshka, hierarchical_topk     | `topk`     | all three choose k latents for a sample   |
| batchtopk                               | `jumprelu` | its one threshold, repeated M times       |
| jumprelu                                | `jumprelu` | threshold = exp(log_threshold)            |
| relu                                    | `standard` |                                           |
| gated                                   | `gated`    | b_gate, r_mag, b_mag                      |
| kron                                    | none       | its encoder is not a matrix [D, M]        |

The folder holds only what encoding and decoding need; buffers of training have their values of step
0 after reading. Decoder rows are stored with their norms, and keep them when read, except under
`rescale_acts_by_decoder_norm`.
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
"""First version of SAELens with this layout; a config without a version counts as older."""

_SAMPLE = "none: the scale depends on each sample, and cannot be folded into the weights"
_FOLD = "none: the scale is not in the folder; fold it into the weights in SAELens"
NORMALISED = {"constant_norm_rescale": _SAMPLE, "layer_norm": _SAMPLE}


def save_saelens(
    stack: SAEStack,
    folder: str | Path,
    *,
    position: int = 0,
    metadata: Mapping[str, Any] | None = None,
) -> None:
    """Write one SAE of a stack as a folder that SAELens loads.

    The SAE is written for the activations that it was trained on. If `realdata` centred and scaled
    them, fold this into the SAE first (`Activations.normal.fold`): the format cannot record it.

    Args:
        stack: the SAEs.
        folder: where `cfg.json` and `sae_weights.safetensors` are written.
        position: position of the SAE in the stack, from 0.
        metadata: what SAELens records about the SAE, such as `model_name` and `hook_name`.

    Raises:
        ConfigError: for an architecture that SAELens does not have, a position outside the stack,
            and metadata that JSON cannot hold.
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
    """A stack of the SAEs in one or several SAELens folders, whose configs are equal.

    Codes and reconstructions equal those of SAELens except for the order of sums. Two settings are
    folded into the weights, which rounds them once: `apply_b_dec_to_input: false` (W_enc b_dec is
    added to b_enc) and `rescale_acts_by_decoder_norm` (encoder rows take the decoder's norms).

    A folder that `save_saelens` wrote is read with its architecture, options and seed. Any other
    is read as `relu`, `topk`, `jumprelu` or `gated`, and its `k` is the default unless encoding
    depends on it. SAEs are numbered from 0 where a seed is missing or given twice. Parameters are
    float32, and `log_threshold` is float64, which represents every float32 threshold. Buffers that
    only training needs have their values of step 0. Nothing is unpickled.

    Raises:
        ConfigError: for a folder with another format or other settings, and for folders whose
            configs differ.
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


class _OneSAE(NamedTuple):
    """One SAE from a folder, with parameters by name, without the seed axis."""

    config: SAEConfig
    seed: int | None
    params: dict[str, Tensor]

    @property
    def d_model(self) -> int:
        """Dimension D of an activation."""
        return self.params["w_dec"].shape[1]


def _read(folder: Path) -> _OneSAE:
    """The SAE in one folder. Raises ConfigError if the folder cannot be read."""
    cfg = _config(folder / CONFIG)
    kind, where = _kind(cfg, folder), f"{folder / CONFIG}: "
    size = {n: _positive(cfg.get(n), where + n) for n in ("d_in", "d_sae")}
    k = None
    if kind == "topk":
        older = cfg.get("activation_fn_kwargs")
        k = older.get("k") if isinstance(older, dict) else None
        k = _positive(cfg.get("k") if k is None else k, where + "k", size["d_sae"])
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
        weights.convert_threshold(params, config.arch)
    return _OneSAE(config, seed, _training_state(config) | params)


def _config(path: Path) -> dict[str, Any]:
    """The JSON object in the file `path`. Raises ConfigError for any other content."""
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
    """The architecture in SAELens. Raises ConfigError for settings that are not supported."""
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


def _positive(value: Any, name: str, most: int | None = None) -> int:
    """`value`, if it is an integer from 1 to `most`. Raises ConfigError for anything else."""
    if type(value) is int and 0 < value <= (most or value):
        return value
    raise ConfigError(name, value, f"1 to {most}" if most else "a number, 1 or more")


def _flag(cfg: dict[str, Any], name: str, default: bool, where: str) -> bool:
    """The setting `name` of the config. Raises ConfigError unless it is true or false."""
    value = cfg.get(name, default)
    if not isinstance(value, bool):
        raise ConfigError(where + name, value, "true, false")
    return value


def _recorded(
    recorded: Any, kind: str, m: int, k: int | None, params: dict[str, Tensor], where: str
) -> SAEConfig | None:
    """The config that `save_saelens` recorded; None if it does not fit the rest of the folder."""
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
    """The buffers of an SAE at step 0, by name; they do not depend on D."""
    sae = ARCHITECTURES[config.arch](config)
    return {name: p for name, p in sae.init(1, 0).items() if name in sae.buffers}


def _read_as(kind: str) -> str:
    """The first registered architecture that reads the SAELens architecture `kind`.

    Subclasses do not inherit `read_from_saelens`.
    """
    return next(n for n, a in ARCHITECTURES.items() if kind in vars(a).get("read_from_saelens", ()))


def _written_as(arch: str) -> str:
    """The architecture of SAELens that encodes as `arch`. Subclasses do not inherit `saelens`."""
    one_of("sae.arch", arch, ARCHITECTURES)
    known = {name: found for name, a in ARCHITECTURES.items() if (found := vars(a).get("saelens"))}
    if arch not in known:
        raise ConfigError(
            "sae.arch",
            arch,
            f"{', '.join(known)}; SAELens has no architecture that encodes as this one",
        )
    return known[arch]
