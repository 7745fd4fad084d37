"""The folder of SAELens, written and run by hand: its equations in NumPy and float64."""

import json

import numpy as np
import torch
from safetensors.numpy import load_file, save_file

from synthsae.sae import SAEConfig, SAEStack

D, M, K = 6, 12, 5
CFG = {
    "d_in": D,
    "d_sae": M,
    "dtype": "float32",
    "device": "cpu",
    "apply_b_dec_to_input": True,
    "normalize_activations": "none",
    "reshape_activations": "none",
    "metadata": {"sae_lens_version": "6.54.12", "hook_name": "blocks.3.hook_resid_pre"},
}
MORE = {"standard": {}, "gated": {}, "jumprelu": {}, "topk": {"k": K}}
X = np.random.default_rng(5).standard_normal((200, D)).astype(np.float32)


def weights(kind, seed=0):
    """Tensors in no special position: rows of the decoder are not unit, some thresholds not > 0."""
    rng = np.random.default_rng(seed)
    names = {"W_enc": (D, M), "W_dec": (M, D), "b_dec": (D,)}
    own = {"gated": ("b_gate", "b_mag", "r_mag"), "jumprelu": ("b_enc", "threshold")}
    names |= dict.fromkeys(own.get(kind, ("b_enc",)), (M,))
    out = {n: rng.standard_normal(shape).astype(np.float32) for n, shape in names.items()}
    if kind == "jumprelu":
        out["threshold"][:3] = 0, -0.5, np.inf
    return out


def put(folder, kind, tensors=None, **changes):
    folder.mkdir(exist_ok=True)
    tensors = weights(kind) if tensors is None else tensors
    save_file(tensors, folder / "sae_weights.safetensors")
    cfg = CFG | MORE[kind] | {"architecture": kind} | changes
    (folder / "cfg.json").write_text(json.dumps(cfg))
    return folder


def saelens(folder, x):
    """Codes [B, M] and reconstructions [B, D] of the SAE in a folder."""
    cfg = json.loads((folder / "cfg.json").read_text())
    w = {n: t.astype(float) for n, t in load_file(folder / "sae_weights.safetensors").items()}
    kind, x = cfg["architecture"], x.astype(float)
    x = x - w["b_dec"] if cfg["apply_b_dec_to_input"] else x
    norm = np.ones(M)
    if cfg.get("rescale_acts_by_decoder_norm"):
        norm = np.linalg.norm(w["W_dec"], axis=1)
    if kind == "gated":
        z = np.maximum(x @ (w["W_enc"] * np.exp(w["r_mag"])) + w["b_mag"], 0)
        z *= x @ w["W_enc"] + w["b_gate"] > 0
    else:
        pre = (x @ w["W_enc"] + w["b_enc"]) * norm
        z = np.maximum(pre, 0)
        if kind == "jumprelu":
            z *= pre > w["threshold"]
        if kind == "topk":
            z *= pre >= np.sort(pre, axis=1)[:, [-cfg["k"]]]
    return z, (z / norm) @ w["W_dec"] + w["b_dec"]


def ours(stack, x=X, seed=0):
    code = stack.encode(torch.from_numpy(x))
    return code.dense(stack.config.size)[seed].numpy(), stack.decode(code)[seed].numpy()


def assert_same(stack, folder, seed=0):
    z, out = ours(stack, seed=seed)
    want_z, want_out = saelens(folder, X)
    assert 0.05 < (want_z > 0).mean() < 0.95
    np.testing.assert_array_equal(z > 0, want_z > 0)
    np.testing.assert_allclose(z, want_z, rtol=0, atol=1e-5)
    np.testing.assert_allclose(out, want_out, rtol=0, atol=1e-5)


def random_stack(arch, seeds=(4, 2**40), **fields):
    """SAEs as a training might leave them, but for unit rows."""
    stack = SAEStack.init(SAEConfig(arch=arch, n_latents=M, k=K, **fields), D, seeds)
    generator = torch.Generator().manual_seed(1)
    for name, p in stack.params.items():
        if name not in stack.architecture.buffers:
            p.normal_(generator=generator)
    if "threshold" in stack.params:
        stack.params["threshold"].copy_(torch.tensor([0.4, 0.7])[: len(seeds)])
    return stack
