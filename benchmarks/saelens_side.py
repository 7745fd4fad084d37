"""SAELens's side of saelens_check.py: python saelens_side.py FOLDER, in an environment that has it.

Loads what we wrote (FOLDER/ours), and writes SAEs of its own (FOLDER/theirs) and some that cannot
be read here (FOLDER/refused). What it makes of the samples in FOLDER/x.safetensors goes to
FOLDER/answers, what it writes of ours to FOLDER/again.
"""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from sae_lens import saes
from safetensors.torch import load_file, save_file
from torch import Tensor

D, M, K = 24, 64, 30
BASE = {"d_in": D, "d_sae": M, "device": "cpu"}


@torch.no_grad()
def randomise(sae: Any) -> Any:
    """Weights in no special position: decoder rows are not unit, some thresholds not above 0."""
    generator = torch.Generator().manual_seed(0)
    for name, p in sae.named_parameters():
        p.copy_(torch.randn(p.shape, generator=generator) * (0.3 if p.ndim == 1 else 1))
        if name == "threshold":
            p.add_(1.0)[:8] = 0.0
            p[8:12] = -0.5
    if hasattr(sae, "topk_threshold"):
        sae.topk_threshold.fill_(1.3)
    return sae


def inference(name: str, **fields: Any) -> Callable[[Path], None]:
    """Saves an inference SAE: a class of SAELens by the name before `SAE`."""

    def save(folder: Path) -> None:
        config = getattr(saes, f"{name}SAEConfig")(**BASE | fields)
        randomise(getattr(saes, f"{name}SAE")(config)).save_model(folder)

    return save


def training(name: str, *, whole: bool = False, **fields: Any) -> Callable[[Path], None]:
    """Saves a training SAE as one for inference, or as a checkpoint has it (`whole`)."""

    def save(folder: Path) -> None:
        config = getattr(saes, f"{name}TrainingSAEConfig")(**BASE | fields)
        sae = randomise(getattr(saes, f"{name}TrainingSAE")(config))
        (sae.save_model if whole else sae.save_inference_model)(folder)

    return save


def transcoder(folder: Path) -> None:
    """Saves a transcoder to other dimensions."""
    config = saes.TranscoderConfig(**BASE, apply_b_dec_to_input=False, d_out=D + 1)
    randomise(saes.Transcoder(config)).save_model(folder)


def older(name: str, changes: dict[str, Any], **fields: Any) -> Callable[[Path], None]:
    """Saves with a config as versions before 6 wrote it: flat, and without a version."""

    def save(folder: Path) -> None:
        inference(name, **fields)(folder)
        cfg = BASE | {"dtype": "torch.float32", "hook_point": "blocks.3.hook_resid_pre"} | changes
        (folder / "cfg.json").write_text(json.dumps(cfg))

    return save


TOPK = {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": K}}
THEIRS = {
    "standard": inference("Standard"),
    "gated": inference("Gated"),
    "jumprelu": inference("JumpReLU"),
    "topk": inference("TopK", k=K),
    "topk, rescaled": inference("TopK", k=K, rescale_acts_by_decoder_norm=True),
    "standard, input as it is": inference("Standard", apply_b_dec_to_input=False),
    "gated, input as it is": inference("Gated", apply_b_dec_to_input=False),
    "jumprelu, input as it is": inference("JumpReLU", apply_b_dec_to_input=False),
    "topk, input as it is": inference("TopK", k=K, apply_b_dec_to_input=False),
    "topk, both": inference(
        "TopK", k=K, apply_b_dec_to_input=False, rescale_acts_by_decoder_norm=True
    ),
    "trained standard": training("Standard"),
    "trained gated": training("Gated"),
    "trained jumprelu": training("JumpReLU"),
    "trained topk": training("TopK", k=K),
    "trained topk, whole": training("TopK", k=K, whole=True),
    "trained batchtopk": training("BatchTopK", k=K),
    "trained batchtopk, not rescaled": training(
        "BatchTopK", k=K, rescale_acts_by_decoder_norm=False
    ),
    "trained matryoshka": training("MatryoshkaBatchTopK", k=K, matryoshka_widths=[16, M]),
    "older standard": older(
        "Standard", {"activation_fn_str": "relu", "normalize_activations": None}
    ),
    "older nameless": older("Standard", {"normalize_activations": False}),
    "older topk": older("TopK", {"architecture": "standard", **TOPK}, k=K),
    "older jumprelu": older("JumpReLU", {"architecture": "jumprelu", "activation_fn_str": "relu"}),
    "older gated, input as it is": older(
        "Gated", {"architecture": "gated", "apply_b_dec_to_input": False}
    ),
}
REFUSED = {
    "expected average": inference("Standard", normalize_activations="expected_average_only_in"),
    "constant norm": inference("Standard", normalize_activations="constant_norm_rescale"),
    "layer norm": inference("TopK", k=K, normalize_activations="layer_norm"),
    "whitening": inference("JumpReLU", normalize_activations="covariance_whitening"),
    "hook_z": inference("Standard", reshape_activations="hook_z"),
    "older hook_z": older("Standard", {"hook_point": "blocks.0.attn.hook_z"}),
    "older expected average": older("Standard", {"normalize_activations": True}),
    "abstopk": inference("AbsTopK", k=K),
    "matching pursuit": inference("MatchingPursuit"),
    "transcoder": transcoder,
    "batchtopk in training": training("BatchTopK", k=K, whole=True),
}


@torch.no_grad()
def answer(folder: Path, path: Path, x: Tensor) -> Any:
    """Encode and decode with the SAE in a folder."""
    sae = saes.SAE.load_from_disk(folder)
    codes = sae.encode(x)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"codes": codes.contiguous(), "out": sae.decode(codes).contiguous()}, path)
    return sae


def folders(root: Path, makers: dict[str, Callable[[Path], None]]) -> Iterator[Path]:
    """Make every SAE of a table."""
    for name, make in makers.items():
        make(root / name)
        yield root / name


def main(root: Path) -> None:
    """Answer everything."""
    x = load_file(root / "x.safetensors")
    for folder in sorted((root / "ours").iterdir()):
        sae = answer(folder, root / "answers" / "ours" / f"{folder.name}.safetensors", x["ours"])
        sae.save_model(root / "again" / folder.name)
    for folder in folders(root / "theirs", THEIRS):
        answer(folder, root / "answers" / "theirs" / f"{folder.name}.safetensors", x["theirs"])
    list(folders(root / "refused", REFUSED))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
