"""Where each latent fires most: its top tokens with the text around them."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from synthsae.arrays import Array, Index
from synthsae.evaluation import held_out
from synthsae.sae import SAEStack
from synthsae.train.source import Passage, TextSource

TOP = 4
"""Contexts kept of each latent."""


class Contexts(NamedTuple):
    """The samples on which each latent is most active.

    Attributes:
        activation: the largest first, [S, M, TOP]; NaN where it fires on fewer samples.
        passage: number in `passages`, or -1, [S, M, TOP].
        passages: the texts.
    """

    activation: Array
    passage: Index
    passages: list[Passage]

    def of(self, s: int, latent: int) -> list[tuple[float, Passage]]:
        """Activation and text of the contexts of one latent."""
        at = self.passage[s, latent]
        values = self.activation[s, latent]
        return [(float(v), self.passages[i]) for v, i in zip(values, at, strict=True) if i >= 0]


def contexts(stack: SAEStack, source: TextSource, n_samples: int) -> Contexts:
    """The contexts in which each latent is most active, among the held-out samples.

    Args:
        stack: S SAEs.
        source: a source that knows its text.
        n_samples: how many held-out samples to read.
    """
    n_seeds, m = stack.params["w_dec"].shape[:2]
    parts: list[list[NDArray[Any]]] = [[] for _ in range(n_seeds)]
    for held in held_out(source, n_samples, stack=stack, title="contexts"):
        rows = held.rows_of(source.rows)
        values, indices = stack.encode(held.x)
        for s in range(n_seeds):
            v = values[s].detach().double().cpu().numpy()
            sample, place = np.nonzero(v > 0)
            latent = place if indices is None else indices[s].cpu().numpy()[sample, place]
            parts[s].append(np.stack([latent, v[sample, place], rows[sample]]))
    activation = np.full((n_seeds, m, TOP), np.nan)
    at = np.full((n_seeds, m, TOP), -1)
    for s, each in enumerate(parts):
        latent, value, row = np.concatenate(each, axis=1)
        order = np.lexsort((row, -value, latent))
        latent = latent[order].astype(int)
        rank = np.arange(len(latent)) - np.searchsorted(latent, latent)
        first = rank < TOP
        activation[s, latent[first], rank[first]] = value[order][first]
        at[s, latent[first], rank[first]] = row[order][first]
    rows, number = np.unique(at[at >= 0], return_inverse=True)
    at[at >= 0] = number
    return Contexts(activation, at, source.passages(rows))
