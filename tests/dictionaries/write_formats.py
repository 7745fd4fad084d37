"""Write a tiny SAE in the formats of several libraries, and let those libraries read it.

The tests use the writers. Run as a script, in an environment that has one of the libraries, this
compares both ways: what the library reads from our file, and what `read` finds in its own.

    python tests/dictionaries/write_formats.py
"""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor

M, D = 24, 6

Weights = dict[str, Tensor]
"""`W_dec` [M, D], `W_enc` [D, M], `b_enc` [M], `b_dec` [D], `threshold` [M]."""


def weights(seed: int = 0, dtype: torch.dtype = torch.float32, m: int = M, d: int = D) -> Weights:
    """An SAE in no special position: decoder rows of several lengths, no zero bias."""
    rng = np.random.default_rng(seed)
    shapes = {"W_dec": (m, d), "W_enc": (d, m), "b_enc": (m,), "b_dec": (d,)}
    made = {name: rng.standard_normal(shape) for name, shape in shapes.items()}
    made["threshold"] = rng.uniform(0.1, 1, m)
    return {name: torch.tensor(x).to(dtype) for name, x in made.items()}


def put(folder: Path, file: str, config: str | None = None, **values: object) -> Path:
    """The path of a new file in a folder, with a config of these values beside it."""
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    if config:
        (folder / config).write_text(json.dumps(values))
    return path


def linear(w: Weights) -> Weights:
    """The tensors as two `nn.Linear` hold them."""
    encoder = {"encoder.weight": w["W_enc"].T, "encoder.bias": w["b_enc"]}
    return encoder | {"decoder.weight": w["W_dec"].T}


def save(tensors: Weights, path: Path) -> None:
    """Write safetensors."""
    save_file({name: x.contiguous() for name, x in tensors.items()}, path)


def saelens(folder: Path, w: Weights, rates: np.ndarray | None = None) -> Path:
    """SAELens 6: JumpReLU, and log10 firing rates where they are given."""
    m, d = w["W_dec"].shape
    sizes = {"d_in": d, "d_sae": m, "dtype": "float32", "device": "cpu"}
    more = {"apply_b_dec_to_input": False, "normalize_activations": "none"}
    more |= {"reshape_activations": "none", "metadata": {"sae_lens_version": "6.54.12"}}
    config = {"architecture": "jumprelu"} | sizes | more
    save(w, put(folder, "sae_weights.safetensors", "cfg.json", **config))
    if rates is not None:
        logs = torch.log10(torch.tensor(rates, dtype=torch.float32) + 1e-10)
        save_file({"sparsity": logs}, folder / "sparsity.safetensors")
    return folder


def sparsify(folder: Path, w: Weights) -> Path:
    """EleutherAI sparsify: the encoder is linear, the decoder is not."""
    m, d = w["W_dec"].shape
    own = {n: x for n, x in linear(w).items() if n.startswith("encoder")}
    config = {"activation": "topk", "expansion_factor": m // d, "normalize_decoder": False}
    config |= {"num_latents": 0, "k": 4, "d_in": d, "multi_topk": False}
    path = put(folder, "sae.safetensors", "cfg.json", **config)
    save(own | {"W_dec": w["W_dec"], "b_dec": w["b_dec"]}, path)
    return folder


def _trainer(w: Weights, kind: str) -> dict[str, object]:
    m, d = w["W_dec"].shape
    return {"dict_class": kind, "activation_dim": d, "dict_size": m, "k": 4, "seed": 0}


def dictionary_learning(folder: Path, w: Weights) -> Path:
    """dictionary_learning: AutoEncoderTopK, whose file also has integers."""
    trainer = _trainer(w, "AutoEncoderTopK")
    path = put(folder, "ae.pt", "config.json", trainer=trainer, buffer={"ctx_len": 128})
    more = {"b_dec": w["b_dec"], "k": torch.tensor(4), "threshold": torch.tensor(-1.0)}
    torch.save(linear(w) | more, path)
    return folder


def dictionary_learning_relu(folder: Path, w: Weights) -> Path:
    """dictionary_learning: AutoEncoder, whose decoder bias is `bias`."""
    path = put(folder, "ae.pt", "config.json", trainer=_trainer(w, "AutoEncoder"))
    torch.save(linear(w) | {"bias": w["b_dec"]}, path)
    return folder


def dictionary_learning_backup(folder: Path, w: Weights) -> Path:
    """dictionary_learning in the middle of a training: weights, optimizer and config in one."""
    path = put(folder, "ae.pt", "config.json", trainer=_trainer(w, "AutoEncoder"))
    moments = {0: {"exp_avg": torch.ones_like(w["W_dec"]), "step": torch.tensor(3.0)}}
    optimizer = {"state": moments, "param_groups": [{"lr": 1e-3, "params": [0]}]}
    ae = linear(w) | {"bias": w["b_dec"]}
    torch.save({"step": 3, "ae": ae, "optimizer": optimizer, "config": {"k": 4}}, path)
    return folder


def gemma_scope(folder: Path, w: Weights) -> Path:
    """Gemma Scope: JumpReLU, in NumPy's npz; there is no bfloat16."""
    np.savez(put(folder, "params.npz"), **{n: _numpy(x) for n, x in w.items()})
    return folder


def openmoss(folder: Path, w: Weights) -> Path:
    """OpenMOSS (llamascopium): W_E and W_D, the config says M as a multiple of D."""
    m, d = w["W_dec"].shape
    config = {"sae_type": "sae", "d_model": d, "expansion_factor": m / d, "act_fn": "jumprelu"}
    config |= {"norm_activation": "dataset-wise", "sparsity_include_decoder_norm": True}
    names = {"W_E": "W_enc", "b_E": "b_enc", "W_D": "W_dec", "b_D": "b_dec"}
    tensors = {new: w[old] for new, old in names.items()}
    tensors["activation_function.log_jumprelu_threshold"] = w["threshold"].log()
    tensors["dataset_average_activation_norm.blocks.6.hook_resid_post"] = torch.tensor(11.0)
    save(tensors, put(folder, "sae_weights.safetensors", "config.json", **config))
    return folder


def llama_scope(folder: Path, w: Weights) -> Path:
    """Llama Scope: the weights are in a folder of their own, below the config."""
    m, d = w["W_dec"].shape
    config = {"d_model": d, "d_sae": m, "act_fn": "jumprelu", "jump_relu_threshold": 0.4}
    path = put(folder, "checkpoints/final.safetensors", "hyperparams.json", **config)
    save(linear(w) | {"decoder.bias": w["b_dec"]}, path)
    return folder


def sharded(folder: Path, w: Weights) -> Path:
    """Two shards of safetensors, and their index."""
    of = {n: f"model-0000{1 + (n == 'W_dec')}-of-00002.safetensors" for n in w}
    put(folder, "model.safetensors.index.json", "model.safetensors.index.json", weight_map=of)
    for file in set(of.values()):
        save({n: x for n, x in w.items() if of[n] == file}, folder / file)
    return folder


def plain(folder: Path, w: Weights) -> Path:
    """A decoder and an encoder of `nn.Linear`, [D, M] and [M, D]; a bias says which axis is M."""
    path = put(folder, "model.safetensors")
    save(linear(w), path)
    return path


def npy(folder: Path, w: Weights) -> Path:
    """Decoder rows alone, [M, D]."""
    path = put(folder, "decoder.npy")
    np.save(path, _numpy(w["W_dec"]))
    return path


def pt(folder: Path, w: Weights) -> Path:
    """A tensor alone, [M, D]."""
    path = put(folder, "decoder.pt")
    torch.save(w["W_dec"], path)
    return path


def _numpy(x: Tensor) -> np.ndarray:
    return x.float().numpy() if x.dtype == torch.bfloat16 else x.numpy()


FORMATS: dict[str, Callable[[Path, Weights], Path]] = {
    f.__name__: f
    for f in (
        *(saelens, sparsify, dictionary_learning, dictionary_learning_relu),
        *(dictionary_learning_backup, gemma_scope, openmoss, llama_scope, sharded, plain, npy, pt),
    )
}
"""Format -> its writer, which returns the path to read."""
