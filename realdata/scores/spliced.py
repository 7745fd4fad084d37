"""Loss of the language model if its activations are replaced by reconstructions."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import NamedTuple

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from realdata.activations import Activations
from realdata.scores._text import activations
from synthsae import progress
from synthsae.arrays import Array
from synthsae.metrics import masking
from synthsae.metrics.function import Residual
from synthsae.rng import numpy_generator
from synthsae.sae import SAEStack, kernels
from synthsae.sae.code import Code
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled

CLASSES = ("stable", "unstable")
SHARES = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""Numbers of latents that are zeroed, as shares of the dictionary."""


@requires("stack", "tokens")
def spliced_loss(run: Run, contexts: int = 48) -> xr.Dataset:
    """Cross-entropy (CE) of held-out contexts with reconstructions in place of activations.

    Activations are replaced by x_hat at all positions that the SAEs are meant for (no BOS, no
    extreme norm). The loss recovered is (CE_zero - CE_spliced) / (CE_zero - CE_clean); CE_zero has
    zeros in place of the activations, and CE_clean replaces nothing.

    Ablations zero the latents of one class (stable, unstable) in a random nested order.
    `masked_loss` is the increase of CE, and `masked_ev` the explained variance lost on the same
    tokens. `matched_loss` and `matched_ev` zero other latents of nearly the same firing rates
    (`metrics.masking.masking_orders`). NaN where a class has fewer latents.

    Args:
        run: trained SAEs and their source.
        contexts: number of held-out contexts that are read.
    """
    source = activations(run)
    stack, label = run.saes, run.labels
    n = [round(share * run.live.shape[1]) for share in SHARES]
    number: dict[Ablation, int] = {}
    which = np.full((len(run.seeds), len(CLASSES), 2, len(n)), -1)
    for s, seed in enumerate(run.seeds):
        rates, rng = run.evaluation.rates[s], numpy_generator("null", 0, seed)
        orders = masking.masking_orders(label[s], rates, n[-1], rng)
        which[s, :, :, 0] = number.setdefault(Ablation(s, frozenset()), len(number))
        for c, kind in enumerate(CLASSES):
            for o, order in enumerate(orders[kind]):
                for i, count in enumerate(n):
                    if 0 < count <= len(order):
                        ablation = Ablation(s, frozenset(order[:count].tolist()))
                        which[s, c, o, i] = number.setdefault(ablation, len(number))
    found = Splice.of(source, contexts).losses(stack, list(number))
    loss, ev = (np.where(which < 0, np.nan, values[which]) for values in (found.loss, found.ev))
    spliced = loss[:, 0, 0, 0]
    lost, increase = ev[..., :1] - ev, loss - loss[..., :1]
    dims = ("seed", "masked_class", "zeroed")
    others = "other latents of nearly the same firing rates"
    return labelled(
        run,
        ce_clean=((), found.clean, "cross-entropy of held-out contexts", "nats"),
        ce_zero=((), found.zero, "cross-entropy with zeros in place of activations", "nats"),
        ce_spliced=(
            ("seed",),
            spliced,
            "cross-entropy with reconstructions in place of activations",
            "nats",
        ),
        loss_recovered=(
            ("seed",),
            (found.zero - spliced) / (found.zero - found.clean),
            "(CE_zero - CE_spliced) / (CE_zero - CE_clean)",
        ),
        masked_loss=(
            dims,
            increase[:, :, 0],
            "increase of CE with latents of a class zeroed",
            "nats",
        ),
        matched_loss=(dims, increase[:, :, 1], f"increase of CE with {others} zeroed", "nats"),
        masked_ev=(dims, lost[:, :, 0], "EV lost with latents of a class zeroed"),
        matched_ev=(dims, lost[:, :, 1], f"EV lost with {others} zeroed"),
    ).assign_coords(
        masked_class=("masked_class", list(CLASSES), {"long_name": "class of the latents zeroed"}),
        zeroed=("zeroed", list(SHARES), {"long_name": "latents zeroed, as a share of all"}),
    )


class Ablation(NamedTuple):
    """One SAE, by its position in the stack, and the latents of it that are zeroed."""

    sae: int
    latents: frozenset[int]


class Losses(NamedTuple):
    """Mean cross-entropy in nats, and explained variance on the same tokens.

    Attributes:
        clean: cross-entropy of the model as it is.
        zero: cross-entropy with zeros in place of activations.
        loss: cross-entropy with the reconstruction of each ablation, [A].
        ev: explained variance of the reconstruction of each ablation, [A].
    """

    clean: float
    zero: float
    loss: Array
    ev: Array


@dataclass(frozen=True)
class Splice:
    """Held-out contexts of a model, and the positions at which activations are replaced.

    Attributes:
        source: the activations of the model.
        tokens: token ids of the contexts, [N, T].
        replaced: which positions are replaced, bool [N, T].
    """

    source: Activations
    tokens: Tensor
    replaced: Tensor

    @classmethod
    def of(cls, source: Activations, n: int) -> "Splice":
        """`n` held-out contexts that are drawn at random, or all if there are fewer."""
        every = source.contexts("eval")
        some = np.sort(numpy_generator("eval", 0).permutation(len(every))[:n])
        kept: NDArray[np.bool_] = np.zeros(every.shape, dtype=bool)
        kept[source.places(np.arange(source.n_eval))] = True
        return cls(source, torch.from_numpy(np.array(every[some])), torch.from_numpy(kept[some]))

    def losses(self, stack: SAEStack, ablations: Sequence[Ablation]) -> Losses:
        """The losses with each of A ablations.

        The model reads `source.batch` contexts at a time, and each context once up to the site. It
        continues from there with one ablation after another, or with several at once if there are
        fewer contexts.

        Args:
            stack: the SAEs.
            ablations: which latents are zeroed; ablations of one SAE are next to each other.
        """
        (n, t), size = self.tokens.shape, self.source.source.batch
        total, parts = np.zeros(2 + len(ablations)), []
        passes = 2 + len(ablations)
        about = f"{passes} passes over {n} contexts of {t} tokens"
        with progress.bar("spliced_loss", passes * n, "contexts", about) as count:
            for i in range(0, n, size):
                tokens, at = self.tokens[i : i + size], self.replaced[i : i + size]
                loss, part = self._losses(tokens, at, stack, ablations, count)
                total += loss
                parts.append(part)
        clean, zero, *loss = total / (n * (t - 1))
        ev = [1 - sum(batches[1:], batches[0]).fvu for batches in zip(*parts, strict=True)]
        return Losses(clean, zero, np.array(loss), np.array(ev))

    def _losses(
        self,
        tokens: Tensor,
        at: Tensor,
        stack: SAEStack,
        ablations: Sequence[Ablation],
        count: progress.Count,
    ) -> tuple[list[float], list[Residual]]:
        """Summed cross-entropy of some contexts, [2 + A], and the residual of each ablation, [A].

        The order is clean, zero, ablations. `tokens` and `at`, the positions that are replaced,
        are [n, T].
        """
        normal, site = self.source.normal, self.source.model.from_site(tokens)
        here, many = at.to(site.x.device), max(1, self.source.source.batch // len(tokens))
        count(len(tokens))

        def loss(made: Tensor) -> list[float]:
            """Summed cross-entropy for each of `made` [A, n, D] at the replaced positions, [A]."""
            x = site.x.repeat(len(made), 1, 1, 1)
            x[:, here] = made.to(x)
            summed = site.loss(x).double().sum((1, 2)).tolist()
            count(len(tokens) * len(made))
            return summed

        x = site.x[here].float()
        found = [float(site.clean.double().sum()), *loss(torch.zeros_like(x)[None])]
        seen, residuals = normal.apply(x).to(stack.params["w_dec"].device), []
        for s, group in groupby(ablations, lambda ablation: ablation.sae):
            sae, wanted = stack.select([s]), [ablation.latents for ablation in group]
            code = sae.encode(seen)
            for i in range(0, len(wanted), many):
                made = reconstructions(sae, code, wanted[i : i + many])
                residuals += [Residual.of(seen.cpu().numpy(), one.cpu().numpy()) for one in made]
                found += loss(normal.undo(made))
        return found, residuals


def reconstructions(sae: SAEStack, code: Code, zeroed: Sequence[frozenset[int]]) -> Tensor:
    """Reconstructions of n samples with each of A sets of latents zeroed, [A, n, D].

    Args:
        sae: a stack of one SAE.
        code: its code of the samples.
        zeroed: the latents that are zeroed, A sets.
    """
    w, (values, indices) = sae.params["w_dec"], code
    keep = torch.ones(len(zeroed), w.shape[1], device=w.device)
    for row, latents in zip(keep, zeroed, strict=True):
        row[list(latents)] = 0
    kept = values * (keep[:, None] if indices is None else keep[:, indices[0]])
    repeated = None if indices is None else indices.repeat(1, len(zeroed), 1)
    made = kernels.decode(Code(kept.flatten(0, 1)[None], repeated), w)
    return made.view(len(zeroed), -1, w.shape[2]) + sae.params["b_dec"]
