"""A language model's activations at one site, and its loss with these activations replaced.

`transformers` loads the weights, from safetensors and without the hub; they are neither folded nor
centred. The `TransformerBridge` of transformer-lens (3 or 4) adds the hooks.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from realdata import hub
from realdata.tokenizer import Ids, Tokenizer
from synthsae import progress
from synthsae.checks import ConfigError
from synthsae.config.sources import HOOKS, SourceConfig
from synthsae.train import resolve_device

CAUSAL_TEST = 8
"""Number of tokens, and of contexts, in the test whether attention is causal."""
TOLERANCE = {"float32": 1e-4, "bfloat16": 5e-3}
"""Largest effect of rounding on an activation, as a share of its norm."""
SKIP_TEST = 8
"""Number of tokens in the test whether blocks below the site can be skipped."""


class LanguageModel:
    """A model and its tokenizer, at the site of a `SourceConfig`.

    Attributes:
        source: the configuration.
        tokens: the tokenizer.
        n_vocab: size of the model's vocabulary.
        device: the device of the weights.
    """

    def __init__(self, source: SourceConfig):
        """Load the model. Raises ConfigError where it cannot be loaded or lacks the site."""
        self.source = source
        self.device = resolve_device(source.device, "source.device")
        folder = hub.weights(source.model)
        try:
            with _quiet(), progress.bar(f"loading {source.model}"):
                self._bridge, tokenizer = _load(folder, source.dtype, self.device)
        except ImportError as error:
            text = f'a model only where transformer-lens is: pip install "synthsae[real]" ({error})'
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
        self.n_vocab: int = self._bridge.original_model.config.get_text_config().vocab_size
        self.tokens = Tokenizer(tokenizer, folder, source, self.n_vocab)

    @property
    def tokenizer(self) -> Any:
        """The tokenizer, as transformers has it."""
        return self.tokens.own

    @property
    def bos(self) -> int | None:
        """The id put before documents and contexts, or None; see `Tokenizer`."""
        return self.tokens.bos

    def encode(self, texts: list[str]) -> list[Ids]:
        """Token ids of each text; see `Tokenizer.encode`."""
        return self.tokens.encode(texts)

    def causal(self, tokens: Tensor) -> bool:
        """Whether the activation of the first token of a context [T] ignores later tokens."""
        several = tokens[:CAUSAL_TEST].to(torch.long).repeat(CAUSAL_TEST, 1)
        shifts = torch.arange(CAUSAL_TEST)[:, None] * max(1, self.n_vocab // CAUSAL_TEST)
        several[:, 1:] = (several[:, 1:] + shifts) % self.n_vocab
        x = self.activations(several)[:, 0].float()
        moved = (x - x[0]).norm(dim=1).max()
        return bool(moved <= TOLERANCE[self.source.dtype] * x[0].norm())

    @torch.inference_mode()
    def activations(self, tokens: Tensor) -> Tensor:
        """Activations at the site for contexts [B, T], [B, T, D]. No later module is run."""
        from transformer_lens.model_bridge.exceptions import StopAtLayerException

        def stop(x: Tensor, hook: object) -> None:
            raise StopAtLayerException(x)  # the bridge's forward returns what it carries

        return self._run(tokens, stop)

    @torch.inference_mode()
    def loss(self, tokens: Tensor, replace: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """Cross-entropy of tokens 1 .. T - 1 of each context [B, T] in nats, [B, T - 1].

        `replace` gets the activations at the site, [B, T, D] in the model's dtype, neither centred
        nor scaled. The model continues with what it returns, of the same shape.
        """

        def spliced(x: Tensor, hook: object) -> Tensor | None:
            return None if replace is None else replace(x).to(x)

        logits = self._run(tokens, spliced)
        targets = tokens[:, 1:].to(logits.device, torch.long)
        losses = [  # a context at a time: all logits are not copied
            cross_entropy(one[:-1].float(), target, reduction="none")
            for one, target in zip(logits, targets, strict=True)
        ]
        return torch.stack(losses)

    def from_site(self, tokens: Tensor) -> "FromSite":
        """Contexts [B, T] for which the blocks below the site are run only once.

        The whole model is run each time in a model where skipping blocks changes the loss.
        """
        return FromSite(self, tokens, self._n_skipped)

    @property
    def blocks(self) -> Sequence[Any]:
        """The blocks, as transformers has them."""
        return [block.original_component for block in self._bridge.blocks]

    @cached_property
    def _n_skipped(self) -> int:
        return n_skipped(self)

    def _run(self, tokens: Tensor, hook: Callable[..., Any]) -> Tensor:
        at = tokens.to(self.device, torch.long)
        return self._bridge.run_with_hooks(at, fwd_hooks=[(self._site, hook)])


class FromSite:
    """Activations of contexts [B, T] at the site, and the loss with replacements for them.

    The blocks below the site run once; afterwards they return the stored output of the last of
    them. Memory: two arrays of B x T x D, in the model's dtype and on its device.

    Attributes:
        tokens: the contexts, [B, T].
        x: activations at the site, [B, T, D].
        clean: cross-entropy of the unchanged model in nats, [B, T - 1].
    """

    def __init__(self, model: LanguageModel, tokens: Tensor, n_skipped: int):
        """Run the model once; the first `n_skipped` blocks are not run again."""
        self.tokens, self._model, self._skipped = tokens, model, model.blocks[:n_skipped]
        seen: dict[str, Any] = {}

        def at_site(x: Tensor) -> Tensor:
            seen["x"] = x.clone()
            return x

        def behind(block: object, inputs: object, output: Any) -> None:
            seen["output"] = output

        handles = [block.register_forward_hook(behind) for block in self._skipped[-1:]]
        try:
            self.clean = model.loss(tokens, at_site)
        finally:
            for handle in handles:
                handle.remove()
        self.x, self._output = seen["x"], seen.get("output")

    def loss(self, x: Tensor) -> Tensor:
        """Cross-entropy in nats with A replacements `x` [A, B, T, D] at the site, [A, B, T - 1]."""
        tokens, flat = self.tokens.repeat(len(x), 1), x.to(self.x).flatten(0, 1)
        with self._skipping(len(x)):
            return self._model.loss(tokens, lambda _: flat).unflatten(0, x.shape[:2])

    @contextmanager
    def _skipping(self, times: int) -> Iterator[None]:
        """Let the blocks below the site return the stored output, repeated `times` times."""
        if isinstance(self._output, tuple):
            again: Any = (self._output[0].repeat(times, 1, 1), *self._output[1:])
        else:
            again = None if self._output is None else self._output.repeat(times, 1, 1)
        for block in self._skipped:
            block.forward = lambda *args, **how: again
        try:
            yield
        finally:
            for block in self._skipped:
                del block.forward


def n_skipped(model: LanguageModel) -> int:
    """Number of blocks that need not run again: those below the site.

    0 in a model whose later blocks use more of the earlier ones than the residual stream.
    """
    n = model.source.layer + (model.source.hook == "resid_post")
    tokens = (torch.arange(SKIP_TEST) * max(1, model.n_vocab // SKIP_TEST))[None]
    try:
        site = FromSite(model, tokens, n)
        again = site.loss(site.x[None].flip(-1))[0]
    except Exception:  # of a block that lacks what a skipped block would store
        return 0
    whole = model.loss(tokens, lambda x: x.flip(-1))
    return n if torch.allclose(again, whole, rtol=1e-5, atol=1e-5) else 0


def _load(folder: Path, dtype: str, device: torch.device) -> tuple[Any, Any]:
    """The bridge and the tokenizer, from the files of this folder alone."""
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model, found = AutoModelForCausalLM.from_pretrained(
        folder,
        local_files_only=True,
        use_safetensors=True,
        dtype=getattr(torch, dtype),
        attn_implementation="eager",  # needed by the bridge's hooks
        output_loading_info=True,
    )
    if missing := sorted(found["missing_keys"]):  # transformers would initialise them at random
        raise ValueError(f"its weights lack {', '.join(missing[:3])}, {len(missing)} in all")
    model = model.to(device).eval().requires_grad_(False)
    bridge: Any = TransformerBridge.boot_transformers(
        str(folder),
        hf_model=model,
        tokenizer=_placeholder(),
        device=device,
        dtype=getattr(torch, dtype),
    )
    return bridge, tokenizer


def _placeholder() -> Any:
    """A tokenizer for the bridge, which modifies and reloads the tokenizer that it gets.

    The bridge only gets token ids here, so any tokenizer will do.
    """
    from tokenizers import Tokenizer as Backend
    from tokenizers.models import WordLevel
    from transformers import PreTrainedTokenizerFast

    backend = Backend(WordLevel({"a": 0}, unk_token="a"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="a", pad_token="a")


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide the progress bars of transformers."""
    from transformers.utils import logging

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()
