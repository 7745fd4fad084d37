"""Contexts that a model reads up to the site once, to go on from there any number of times."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from realdata.model import LanguageModel

TRIED = 8
"""Tokens on which is tried whether a model can go on from the site."""


class FromSite:
    """Contexts [B, T], and what a model has at the site there, and its loss from there on.

    The blocks below the site are run once; from then on they return at once what the last of them
    returned. Held are two arrays of B x T x D in the model's dtype and on its device.

    Attributes:
        tokens: the contexts, [B, T].
        x: what is at the site, [B, T, D].
        clean: cross-entropy of the model as it is, [B, T - 1].
    """

    def __init__(self, model: "LanguageModel", tokens: Tensor, n_skipped: int):
        """Read the contexts; the first `n_skipped` blocks are not run again."""
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
        """Cross-entropy with `x` [A, B, T, D] at the site, A times at once, [A, B, T - 1]."""
        tokens, flat = self.tokens.repeat(len(x), 1), x.to(self.x).flatten(0, 1)
        with self._skipping(len(x)):
            return self._model.loss(tokens, lambda _: flat).unflatten(0, x.shape[:2])

    @contextmanager
    def _skipping(self, times: int) -> Iterator[None]:
        """Have the blocks below return at once what the last of them returned, `times` over."""
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


def n_skipped(model: "LanguageModel") -> int:
    """How many blocks need not run again: those below the site, or none in a model whose later
    blocks do not depend on these through the residual stream alone.
    """
    n = model.source.layer + (model.source.hook == "resid_post")
    tokens = (torch.arange(TRIED) * max(1, model.n_vocab // TRIED))[None]
    try:
        site = FromSite(model, tokens, n)
        again = site.loss(site.x[None].flip(-1))[0]
    except Exception:  # whatever a block raises that misses what one below was to leave
        return 0
    whole = model.loss(tokens, lambda x: x.flip(-1))
    return n if torch.allclose(again, whole, rtol=1e-5, atol=1e-5) else 0
