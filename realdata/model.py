"""A language model that yields its activations at one site, and its loss with them replaced.

Weights are those of the folder, neither folded nor centred. `transformers` loads them, safetensors
only and without the hub; transformer-lens' `TransformerBridge` (3 or 4) puts the hooks in.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from realdata import hub
from realdata.config import HOOKS, SourceConfig
from synthsae.checks import ConfigError
from synthsae.train import resolve_device


class LanguageModel:
    """A model and its tokenizer, at the site of a `SourceConfig`.

    Attributes:
        source: the configuration it was loaded by.
        tokenizer: of transformers.
        bos: the id put before documents and contexts: BOS, EOS where there is no BOS, or None.
        n_vocab: token ids that it knows.
        device: where it is.
    """

    def __init__(self, source: SourceConfig):
        """Load it. Raises ConfigError for what cannot be loaded."""
        self.source = source
        self.device = resolve_device(source.device, "source.device")
        folder = hub.weights(source.model)
        try:
            with _quiet():
                self._bridge, self.tokenizer = _load(folder, source.dtype, self.device)
        except ImportError as error:
            text = f'only with transformer-lens: pip install "synthsae[real]" ({error})'
            raise ConfigError("source.model", source.model, text) from error
        except Exception as error:  # whatever three libraries raise for a folder they do not know
            why = (str(error).strip() or type(error).__name__).splitlines()[0]
            text = f"a causal language model with a tokenizer, known to transformer-lens ({why})"
            raise ConfigError("source.model", source.model, text) from error
        known = self._bridge.hook_dict
        self._site = f"blocks.{source.layer}.hook_{source.hook}"
        if self._site not in known:
            hooks = [hook for hook in HOOKS if f"blocks.{source.layer}.hook_{hook}" in known]
            raise ConfigError("source.hook", source.hook, ", ".join(hooks))
        bos = self.tokenizer.bos_token_id
        self.bos: int | None = self.tokenizer.eos_token_id if bos is None else bos
        self.n_vocab: int = self._bridge.original_model.config.get_text_config().vocab_size
        self._check([self.bos or 0])

    def encode(self, texts: list[str]) -> list[list[int]]:
        """Token ids of each text, no BOS added. Raises ConfigError where the model lacks an id."""
        found = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
        self._check([max(ids, default=0) for ids in found])
        return found

    def _check(self, ids: list[int]) -> None:
        if (top := max(ids)) >= self.n_vocab:
            name = self.tokenizer.convert_ids_to_tokens(top)
            text = (
                f"a tokenizer that fits: it has the id {top} ({name!r}), the model's vocabulary "
                f"ends at {self.n_vocab - 1}"
            )
            raise ConfigError("source.model", self.source.model, text)

    @torch.inference_mode()
    def activations(self, tokens: Tensor) -> Tensor:
        """What is at the site for contexts [B, T], [B, T, D]. No later module is run."""
        from transformer_lens.model_bridge.exceptions import StopAtLayerException

        def stop(x: Tensor, hook: object) -> None:
            raise StopAtLayerException(x)  # the bridge's forward returns what it carries

        return self._run(tokens, stop)

    @torch.inference_mode()
    def loss(self, tokens: Tensor, replace: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Cross-entropy of tokens 1 .. T - 1 of each context [B, T] in nats, [B, T - 1].

        `replace` gets what is at the site, [B, T, D] in the model's dtype and as it is in the
        model, and returns what the model goes on with, of the same shape.
        """

        def spliced(x: Tensor, hook: object) -> Tensor | None:
            return None if replace is None else replace(x).to(x)

        logits = self._run(tokens, spliced)[:, :-1].float()
        targets = tokens[:, 1:].to(logits.device, torch.long)
        return cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view_as(
            targets
        )

    def _run(self, tokens: Tensor, hook: Callable[..., Any]) -> Tensor:
        at = tokens.to(self.device, torch.long)
        return self._bridge.run_with_hooks(at, fwd_hooks=[(self._site, hook)])


def _load(folder: Path, dtype: str, device: torch.device) -> tuple[Any, Any]:
    """The bridge and the tokenizer, from files of this folder alone."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model, found = AutoModelForCausalLM.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        dtype=getattr(torch, dtype),
        attn_implementation="eager",  # what the bridge's hooks suppose
        output_loading_info=True,
    )
    if missing := sorted(found["missing_keys"]):  # transformers would fill them at random
        raise ValueError(f"its weights lack {', '.join(missing[:3])}, {len(missing)} in all")
    model = model.to(device).eval().requires_grad_(False)
    bridge: Any = TransformerBridge.boot_transformers(
        str(folder),
        hf_model=model,
        tokenizer=tokenizer,
        device=device,
        dtype=getattr(torch, dtype),
    )
    return bridge, tokenizer


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars for the loading of weights."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
