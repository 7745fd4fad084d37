"""A model's activations and losses are those that Hugging Face's own forward pass has."""

import json
import subprocess
import sys
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from language_models import KINDS, LAYERS, STORIES, needs_stories, save, save_letters
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import cross_entropy

from realdata.model import LanguageModel
from synthsae.checks import ConfigError
from synthsae.config.sources import HOOKS, SourceConfig

TOKENS = torch.randint(3, 43, (4, 20), generator=torch.Generator().manual_seed(0))
Folders = Callable[[str], Path]


def load(folder: Path, layer: int = 1, hook: str = "resid_post", **fields: Any) -> LanguageModel:
    return LanguageModel(
        SourceConfig(model=str(folder), layer=layer, hook=hook, text="-", device="cpu", **fields)
    )


def reference(folder: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager").eval()


def part(model: Any, kind: str, layer: int, name: str) -> Any:
    return model.get_submodule(f"{KINDS[kind].blocks}.{layer}.{getattr(KINDS[kind], name)}")


def first(out: Any) -> Tensor:
    return out[0] if isinstance(out, tuple) else out


@pytest.mark.parametrize("layer", range(LAYERS))
@pytest.mark.parametrize("kind", KINDS)
def test_residuals_are_hidden_states(language_model: Folders, kind: str, layer: int) -> None:
    folder = language_model(kind)
    model = reference(folder)
    with torch.no_grad():
        states = model(TOKENS, output_hidden_states=True).hidden_states
        pre = load(folder, layer, "resid_pre").activations(TOKENS)
        post = load(folder, layer).activations(TOKENS)
        torch.testing.assert_close(pre, states[layer], rtol=1e-5, atol=1e-5)
        if layer == LAYERS - 1:  # the last state has been through the final norm
            post = model.get_submodule(KINDS[kind].norm)(post)
        torch.testing.assert_close(post, states[layer + 1], rtol=1e-5, atol=1e-5)
    assert (pre - states[layer + 1]).abs().max() > 0.1


@pytest.mark.parametrize(("hook", "name"), [("attn_out", "attention"), ("mlp_out", "mlp")])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_added_to_the_residual(
    language_model: Folders, kind: str, hook: str, name: str
) -> None:
    folder = language_model(kind)
    model, seen = reference(folder), []
    part(model, kind, 1, name).register_forward_hook(lambda m, i, out: seen.append(first(out)))
    with torch.no_grad():
        model(TOKENS)
    found = load(folder, 1, hook).activations(TOKENS)
    torch.testing.assert_close(found, seen[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kind", ["gpt2", "gemma2", "llama"])
def test_a_block_adds_attention_and_mlp(language_model: Folders, kind: str) -> None:
    x = {hook: load(language_model(kind), 1, hook).activations(TOKENS) for hook in HOOKS}
    added = x["resid_pre"] + x["attn_out"] + x["mlp_out"]
    torch.testing.assert_close(x["resid_post"], added, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("hook", HOOKS)
def test_nothing_runs_behind_the_site(language_model: Folders, hook: str) -> None:
    model, ran = load(language_model("llama"), 1, hook), []
    for name, module in model._bridge.original_model.named_modules():
        if list(module.parameters()):  # not the bridge's own hook points
            module.register_forward_hook(lambda m, i, out, name=name: ran.append(name))
    model.activations(TOKENS)
    behind = ["model.layers.2", "model.norm", "lm_head"]
    behind += ["model.layers.1.mlp"] * (hook == "attn_out")
    behind += ["model.layers.1"] * (hook == "resid_pre")
    assert any("layers.0" in name for name in ran)
    assert not [name for name in ran if any(name.startswith(b) for b in behind)]
    model.loss(TOKENS)
    assert any("lm_head" in name for name in ran)  # the hooks do see what runs


@pytest.mark.parametrize("kind", KINDS)
def test_loss_with_the_identity_and_without_the_site(language_model: Folders, kind: str) -> None:
    folder = language_model(kind)
    model, mine = reference(folder), load(folder, 1, "mlp_out")

    def loss() -> Tensor:
        with torch.no_grad():
            logits = model(TOKENS).logits[:, :-1]
        return cross_entropy(logits.transpose(1, 2), TOKENS[:, 1:], reduction="none")

    own = mine.loss(TOKENS)
    torch.testing.assert_close(own, loss(), rtol=1e-5, atol=1e-5)
    assert torch.equal(mine.loss(TOKENS, lambda x: x), own)
    part(model, kind, 1, "mlp").register_forward_hook(lambda m, i, out: torch.zeros_like(out))
    ablated = mine.loss(TOKENS, torch.zeros_like)
    torch.testing.assert_close(ablated, loss(), rtol=1e-5, atol=1e-5)
    assert (ablated - own).abs().max() > 0.01
    assert torch.equal(mine.loss(TOKENS), own)  # no hook is left behind


@pytest.mark.parametrize("kind", ["gpt2", "llama"])
def test_loss_with_another_residual(language_model: Folders, kind: str) -> None:
    folder = language_model(kind)
    model, mine = reference(folder), load(folder, 0)

    def halved(module: Any, args: Any, out: Any) -> Any:
        return (out[0] / 2, *out[1:]) if isinstance(out, tuple) else out / 2

    model.get_submodule(KINDS[kind].blocks)[0].register_forward_hook(halved)
    with torch.no_grad():
        logits = model(TOKENS).logits[:, :-1]
    expected = cross_entropy(logits.transpose(1, 2), TOKENS[:, 1:], reduction="none")
    torch.testing.assert_close(mine.loss(TOKENS, lambda x: x / 2), expected, rtol=1e-5, atol=1e-5)


def test_bfloat16(language_model: Folders) -> None:
    x = load(language_model("gpt2"), dtype="bfloat16").activations(TOKENS)
    assert x.dtype == torch.bfloat16
    exact = load(language_model("gpt2")).activations(TOKENS)
    assert 0 < (x - exact).norm() / exact.norm() < 0.03


@needs_stories
def test_loss_of_the_shared_model() -> None:
    model = load(STORIES[0], 2)
    text = (
        "Once upon a time, there was a little girl named Lily. She loved to play in the park with "
        "her mom."
    )
    ids = torch.tensor([[model.bos, *model.encode([text])[0]]])
    assert model.loss(ids).mean() == pytest.approx(0.355, abs=5e-4)


def test_tokenizer_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        load(save("gpt2", tmp_path, vocabulary=20)).encode(["w0", "w39 w1"])
    assert error.value.field == "source.model"
    assert "id 42 ('w39')" in error.value.allowed


def letters(folder: Path, special: list[str], **declared: str) -> Path:
    """A tiny model that knows 200 ids, more than its tokenizer of characters."""
    save("gpt2", folder, vocabulary=200)
    save_letters(folder, special, **declared)
    return folder


def test_without_bos_and_eos_nothing_is_put(tmp_path: Path) -> None:
    """The bridge would make it the unknown, or an id that was never trained."""
    tokens = load(letters(tmp_path, ["<unk>"])).tokens
    assert (tokens.bos, tokens.unk) == (None, 0)
    assert tokens.own.bos_token is None  # it is as its files have it
    assert [ids.tolist() for ids in tokens.encode(["ab\n", "é", ""])] == [[66, 67, 96], [0], []]


def test_eos_stands_in_for_bos(tmp_path: Path) -> None:
    assert load(letters(tmp_path, ["<unk>", "</s>"], eos_token="</s>")).bos == 1


def test_bos_may_be_the_unknown(tmp_path: Path) -> None:
    tokens = load(letters(tmp_path, ["<unk>"], bos_token="<unk>")).tokens
    assert (tokens.bos, tokens.unk) == (0, 0)


def test_a_name_is_no_token(tmp_path: Path) -> None:
    """What the tokenizer's class or its settings name is not BOS unless the vocabulary has it."""
    letters(tmp_path, ["<unk>"])
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"bos_token": "<s>"}))
    assert load(tmp_path).bos is None
    del config["backend"]
    path.write_text(json.dumps(config | {"tokenizer_class": "GPT2Tokenizer"}))
    assert load(tmp_path).bos is None


def test_bos_beyond_the_vocabulary(tmp_path: Path) -> None:
    save("gpt2", tmp_path, vocabulary=97)
    assert save_letters(tmp_path, ["<unk>"], bos_token="<s>") == 97  # it gets the id 97
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert error.value.field == "source.model"
    assert "id 97 ('<s>')" in error.value.allowed


@pytest.mark.parametrize("mode", ["text", "parse"])
def test_special_tokens_that_are_spelled_out(tmp_path: Path, mode: str) -> None:
    folder = letters(tmp_path, ["<unk>", "<s>", "</s>"], bos_token="<s>", eos_token="</s>")
    tokens = load(folder, special_tokens=mode).tokens
    (ids, begins) = (ids.tolist() for ids in tokens.encode(["a<s></s>é", "<s>a"]))
    assert tokens.spelled_out("a<s></s>é") == 2
    a, rest = 68, [ord(c) - 29 for c in "<s></s>"]
    assert ids == [a, *([1, 2] if mode == "parse" else rest), 0]
    assert begins == [*([] if mode == "parse" else rest[:3]), a]  # packing puts BOS there
    assert tokens.parsed == (mode == "parse")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("kind", KINDS)
def test_attention_is_causal(language_model: Folders, kind: str, dtype: str) -> None:
    assert load(language_model(kind), dtype=dtype).causal(TOKENS[0])


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_attention_that_is_not_causal(tmp_path: Path, dtype: str) -> None:
    more = {"head_dim": 8, "num_key_value_heads": 1, "use_bidirectional_attention": True}
    model = load(save("gemma3_text", tmp_path, **more), dtype=dtype)
    assert not model.causal(TOKENS[0])
    assert not model.causal(TOKENS[0, :2])


def test_pickles_are_refused(language_model: Folders, tmp_path: Path) -> None:
    for path in language_model("gpt2").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = tmp_path / "model.safetensors"
    torch.save(load_file(weights), tmp_path / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert error.value.field == "source.model"
    assert "pytorch_model.bin" in error.value.allowed


def test_weights_that_are_not_all_there(language_model: Folders, tmp_path: Path) -> None:
    for path in language_model("gpt2").iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    lost = next(name for name in weights if name.endswith("h.1.mlp.c_fc.weight"))
    del weights[lost]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert error.value.field == "source.model"
    assert "h.1.mlp.c_fc.weight" in error.value.allowed


def test_a_folder_without_a_tokenizer(language_model: Folders, tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((language_model("llama") / name).read_bytes())
    with pytest.raises(ConfigError) as error:
        load(tmp_path)
    assert error.value.field == "source.model"


def test_importing_is_cheap() -> None:
    heavy = "transformers", "transformer_lens", "datasets", "pyarrow", "zarr", "huggingface_hub"
    code = f"import sys, realdata.config; print([m for m in {heavy!r} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def elsewhere(model: LanguageModel, layer: int, hook: str) -> LanguageModel:
    """The same model with another site; loading takes long."""
    other = copy(model)
    other.source = replace(model.source, layer=layer, hook=hook)
    other._site = f"blocks.{layer}.hook_{hook}"
    return other


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_from_the_site_on(language_model: Folders, kind: str) -> None:
    """To the bit what the whole model has, and what is below the site is not run."""
    loaded, ran = load(language_model(kind)), set()
    for i, block in enumerate(loaded.blocks):
        for child in block.children():
            child.register_forward_hook(lambda m, x, out, i=i: ran.add(i))
    changes = [lambda x: x.flip(-1), torch.zeros_like, lambda x: x]
    for layer, hook in product(range(LAYERS), HOOKS):
        model = elsewhere(loaded, layer, hook)
        site = model.from_site(TOKENS)
        assert torch.equal(site.clean, model.loss(TOKENS))
        assert torch.equal(site.x, model.activations(TOKENS))
        ran.clear()
        found = site.loss(torch.stack([change(site.x) for change in changes]))
        assert ran == set(range(layer + (hook == "resid_post"), LAYERS))
        for change, several in zip(changes, found, strict=True):
            whole = model.loss(TOKENS, change)
            assert torch.equal(site.loss(change(site.x)[None])[0], whole)
            torch.testing.assert_close(several, whole, rtol=1e-6, atol=1e-6)
        assert ran == set(range(LAYERS))  # the whole model runs again


@pytest.mark.parametrize("missing", [False, True])
def test_a_model_that_remembers_runs_whole(language_model: Folders, missing: bool) -> None:
    """Its last block uses what the first one left beside the residual stream."""
    model, left = load(language_model("llama"), 1), [torch.tensor(1.0)]
    first, last = model.blocks[0].mlp, model.blocks[2].mlp
    first.register_forward_hook(lambda m, x, out: left.append(out.mean()))

    def use(module: Any, inputs: Any, out: Tensor) -> Tensor:
        return out * (left.pop() if missing else left[-1])

    last.register_forward_hook(use)
    if missing:
        left.clear()
    site = model.from_site(TOKENS)
    x = site.x.flip(-1)
    assert torch.equal(site.loss(x[None])[0], model.loss(TOKENS, lambda _: x))
    assert (site.loss(x[None])[0] - site.clean).abs().max() > 0.01
