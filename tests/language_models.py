"""Tiny random language models in folders, as Hugging Face writes them, and text for them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

WORDS = [f"w{i}" for i in range(40)]
LAYERS, WIDTH = 3, 16
SHARED = Path(__file__).parents[1].parent / "shared"
STORIES = SHARED / "models/tinystories-260k", SHARED / "data/tinystories-260k-samples.jsonl.gz"
needs_stories = pytest.mark.skipif(
    not all(path.exists() for path in STORIES), reason="../shared is not here"
)


@dataclass(frozen=True)
class Kind:
    """How transformers calls the parts of a model."""

    blocks: str
    attention: str
    mlp: str
    norm: str
    fields: dict[str, Any]


LLAMA_LIKE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
}
KINDS = {
    "gpt2": Kind(
        "transformer.h",
        "attn",
        "mlp",
        "transformer.ln_f",
        {"n_embd": WIDTH, "n_layer": LAYERS, "n_head": 2, "n_positions": 64},
    ),
    "gemma2": Kind(
        "model.layers",
        "post_attention_layernorm",
        "post_feedforward_layernorm",
        "model.norm",
        LLAMA_LIKE | {"head_dim": 8, "num_key_value_heads": 1, "sliding_window": 8},
    ),
    "gemma3_text": Kind(
        "model.layers",
        "post_attention_layernorm",
        "post_feedforward_layernorm",
        "model.norm",
        LLAMA_LIKE
        | {"head_dim": 8, "num_key_value_heads": 1, "sliding_window": 8}
        | {"layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    "llama": Kind(
        "model.layers", "self_attn", "mlp", "model.norm", LLAMA_LIKE | {"num_key_value_heads": 1}
    ),
    "gpt_neox": Kind(
        "gpt_neox.layers", "attention", "mlp", "gpt_neox.final_layer_norm", LLAMA_LIKE
    ),
}


@pytest.fixture(scope="session")
def language_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tiny random model of a kind."""

    @cache
    def made(kind: str) -> Path:
        return save(kind, tmp_path_factory.mktemp(kind))

    return made


@pytest.fixture(scope="session")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """100 documents of 5 to 60 words."""
    path = tmp_path_factory.mktemp("text") / "stories.jsonl"
    rng = np.random.default_rng(0)
    texts = [" ".join(rng.choice(WORDS, rng.integers(5, 60))) for _ in range(100)]
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    return path


def save(kind: str, folder: Path, vocabulary: int | None = None, **fields: Any) -> Path:
    """Write a random model of that kind, with weights large enough that each part matters."""
    from transformers import AutoConfig, AutoModelForCausalLM

    size = save_tokenizer(folder)
    more = {"vocab_size": vocabulary or size, "bos_token_id": 0, "eos_token_id": 1}
    like = KINDS[kind].fields if kind in KINDS else LLAMA_LIKE
    config = AutoConfig.for_model(kind, **(like | more | {"pad_token_id": 1} | fields))
    model, g = AutoModelForCausalLM.from_config(config), torch.Generator().manual_seed(0)
    with torch.no_grad():
        for p in model.parameters():  # transformers draws from the global generator
            if p.ndim > 1:
                p.normal_(0, 0.3, generator=g)
    model.save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path) -> int:
    """Write a tokenizer of words, and return the size of its vocabulary."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    vocabulary = {word: i for i, word in enumerate(["<s>", "</s>", "<unk>", *WORDS])}
    words = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    special = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=words, **special).save_pretrained(folder)
    return len(vocabulary)


def save_letters(folder: Path, special: list[str], **declared: str) -> int:
    """Write a tokenizer of ASCII characters, whose first tokens are `special`, and return the size
    of its vocabulary. `declared` are what `bos_token` and others are; the first is for the unknown.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = [*special, *map(chr, range(32, 127)), "\n"]
    letters = Tokenizer(models.WordLevel({c: i for i, c in enumerate(tokens)}, unk_token=tokens[0]))
    letters.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    declared = {"unk_token": tokens[0]} | declared
    PreTrainedTokenizerFast(tokenizer_object=letters, **declared).save_pretrained(folder)
    return len(tokens)
