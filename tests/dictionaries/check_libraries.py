"""Compare `read` with the libraries themselves, both ways; each in an environment of its own.

For each library that can be imported: it saves an SAE of each of its classes, and `read` finds the
same decoder, encoder and biases; and it loads what `write_formats` wrote, with the same weights.

    PYTHONPATH=.:tests python tests/dictionaries/check_libraries.py

Last run, all equal: sae-lens 6.54.12 (eight architectures; its loaders of Gemma Scope, Llama Scope
and dictionary_learning read our files), eai-sparsify 1.3.3, dictionary-learning 0.1.0 (seven
classes), llamascopium 2.0.0b34. Gemma Scope and Llama Scope were not downloaded.
"""

import json
import tempfile
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dictionaries import write_formats
from dictionaries.write_formats import FORMATS, D, M, put, weights

from synthsae.dictionaries import read


def same(path: Path, **fields: Any) -> None:
    """What `read` finds at a path is these fields, to the bit, without a note."""
    (sae,) = read(path)
    for name, tensor in fields.items():
        found = getattr(sae, name)
        expected = None if tensor is None else tensor.detach().double().numpy()
        np.testing.assert_array_equal(found, expected, err_msg=f"{path}: {name}")
    assert not sae.notes, sae.notes


def randomised(module: Any) -> dict[str, Any]:
    """The parameters of a module by name, set to random numbers."""
    for parameter in module.parameters():
        parameter.data = torch.rand_like(parameter) + 0.1
    return dict(module.named_parameters())


def sae_lens(folder: Path) -> Iterator[str]:
    """SAELens: what it saves, its firing rates, and its loaders of other formats."""
    from sae_lens import SAE
    from sae_lens.loading import pretrained_sae_loaders as loaders
    from sae_lens.registry import SAE_CLASS_REGISTRY
    from sae_lens.training.sae_trainer import _log_feature_sparsity

    kinds = ("standard", "topk", "abstopk", "gated", "jumprelu", "matching_pursuit")
    for kind in (*kinds, "transcoder", "skip_transcoder"):
        made, config = SAE_CLASS_REGISTRY[kind]
        more = {"d_out": D + 2, "apply_b_dec_to_input": False} if "trans" in kind else {}
        p = randomised(sae := made(config(d_in=D, d_sae=M, **more)))
        sae.save_model(folder / kind)
        encoder = p["W_enc"].T if "W_enc" in p else None
        biases = {"encoder_bias": p.get("b_enc"), "decoder_bias": p.get("b_dec")}
        same(folder / kind, decoder=p["W_dec"], encoder=encoder, **biases)
        assert read(folder / kind)[0].declared.symmetric == (kind == "abstopk")
        yield kind
    rates = np.geomspace(1e-8, 0.9, M)
    ours = write_formats.saelens(folder / "ours", w := weights(), rates)
    logs = _log_feature_sparsity(torch.tensor(rates, dtype=torch.float32))
    np.testing.assert_allclose(10 ** logs.numpy(), read(ours)[0].rates + 1e-10, rtol=1e-5)
    assert torch.equal(SAE.load_from_disk(str(ours)).W_dec, w["W_dec"])
    yield "what we write"

    def local(repo_id: str, filename: str, subfolder: str = "", **_: Any) -> str:
        return str(folder / subfolder / filename)

    loaders.hf_hub_download = local
    gemma = "layer_1/width_16k"
    write_formats.gemma_scope(folder / gemma, w)
    _, found, _ = loaders.gemma_2_sae_huggingface_loader("gemma-scope-2b-pt-res", gemma)
    assert all(torch.equal(found[name], x) for name, x in w.items())
    names = {"in": 11.0}
    path = write_formats.llama_scope(folder / "llama", w) / "hyperparams.json"
    more = {"dataset_average_activation_norm": names, "hook_point_in": "blocks.1.hook_resid_post"}
    path.write_text(json.dumps(json.loads(path.read_text()) | more))
    _, found, _ = loaders.llama_scope_sae_huggingface_loader("llama", "llama")
    assert torch.equal(found["W_dec"], w["W_dec"].bfloat16())
    path = write_formats.dictionary_learning(folder / "dl", w) / "config.json"
    config = json.loads(path.read_text())
    config["trainer"] |= {"layer": 1, "lm_name": "gpt2"}
    path.write_text(json.dumps(config))
    _, found, _ = loaders.dictionary_learning_sae_huggingface_loader_1("dl", "dl")
    assert torch.equal(found["W_dec"], w["W_dec"])
    yield "its loaders of Gemma Scope, Llama Scope and dictionary_learning"


def sparsify(folder: Path) -> Iterator[str]:
    """EleutherAI sparsify: SAEs and skip transcoders."""
    from sparsify import SparseCoder, SparseCoderConfig

    for more in ({}, {"normalize_decoder": False}, {"transcode": True, "skip_connection": True}):
        sae = SparseCoder(D, SparseCoderConfig(expansion_factor=M // D, **more))
        p = randomised(sae)
        sae.save_to_disk(folder / str(more))
        biases = {"encoder_bias": p["encoder.bias"], "decoder_bias": p["b_dec"]}
        same(folder / str(more), decoder=p["W_dec"], encoder=p["encoder.weight"], **biases)
        yield str(more)
    ours = SparseCoder.load_from_disk(FORMATS["sparsify"](folder / "ours", w := weights()))
    assert torch.equal(ours.W_dec, w["W_dec"])
    assert torch.equal(ours.encoder.weight, w["W_enc"].T)
    yield "what we write"


def dictionary_learning(folder: Path) -> Iterator[str]:
    """dictionary_learning: every class of dictionary."""
    made: list[Any] = []
    for place in ("dictionary", "trainers.top_k", "trainers.batch_top_k"):
        made += vars(import_module(f"dictionary_learning.{place}")).values()
    made += vars(import_module("dictionary_learning.trainers.matryoshka_batch_top_k")).values()
    options = {"AutoEncoderTopK": {"k": 4}, "BatchTopKSAE": {"k": 4}}
    options["MatryoshkaBatchTopKSAE"] = {"k": 4, "group_sizes": [M // 4, 3 * M // 4]}
    for kind in (
        "AutoEncoder",
        "AutoEncoderNew",
        "GatedAutoEncoder",
        "JumpReluAutoEncoder",
        *options,
    ):
        cls = next(c for c in made if getattr(c, "__name__", "") == kind)
        sae = cls(D, M, **options.get(kind, {}))
        p = randomised(sae)
        trainer = {"dict_class": kind, "activation_dim": D, "dict_size": M}
        torch.save(sae.state_dict(), put(folder / kind, "ae.pt", "config.json", trainer=trainer))
        rows = p["W_dec"] if "W_dec" in p else p["decoder.weight"].T
        encoder = p["W_enc"].T if "W_enc" in p else p["encoder.weight"]
        last = next(p[n] for n in ("b_dec", "bias", "decoder.bias", "decoder_bias") if n in p)
        first = p.get("b_enc", p.get("encoder.bias"))
        fields = {"encoder_bias": first, "decoder_bias": last}
        same(folder / kind, decoder=rows, encoder=encoder, **fields)
        yield kind
    cls = next(c for c in made if getattr(c, "__name__", "") == "AutoEncoderTopK")
    ours = cls.from_pretrained(FORMATS["dictionary_learning"](folder / "ours", weights()) / "ae.pt")
    assert torch.equal(ours.decoder.weight.T, weights()["W_dec"])
    yield "what we write"


def llamascopium(folder: Path) -> Iterator[str]:
    """OpenMOSS: an SAE before and after the norms are folded."""
    from llamascopium.models.sae import SAEConfig, SparseAutoEncoder

    for act in ("relu", "topk", "jumprelu"):
        config = SAEConfig(
            hook_point_in="x", hook_point_out="x", d_model=D, expansion_factor=M / D, act_fn=act
        )
        p = randomised(sae := SparseAutoEncoder.from_config(config))
        sae.set_dataset_average_activation_norm({"x": 3.0})
        sae.save_pretrained(folder / act)
        config.save_hyperparameters(folder / act)
        biases = {"encoder_bias": p["b_E"], "decoder_bias": p["b_D"]}
        same(folder / act, decoder=p["W_D"], encoder=p["W_E"].T, **biases)
        yield act


LIBRARIES: dict[str, tuple[str, Callable[[Path], Iterator[str]]]] = {
    "sae_lens": ("sae-lens", sae_lens),
    "sparsify": ("eai-sparsify", sparsify),
    "dictionary_learning": ("dictionary-learning", dictionary_learning),
    "llamascopium": ("llamascopium", llamascopium),
}
"""Module -> package and its check."""

if __name__ == "__main__":
    for name, (package, check) in LIBRARIES.items():
        try:
            import_module(name)
        except ImportError as error:
            print(f"{name}: {error}")
            continue
        with tempfile.TemporaryDirectory() as place:
            for what in check(Path(place)):
                print(f"{package} {version(package)}: {what}")
