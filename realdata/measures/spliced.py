"""What the model loses when it goes on with the reconstruction in place of its activations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from realdata.activations import Activations
from realdata.measures._text import at_hand, reader
from synthsae.metrics import masking, reappearance
from synthsae.metrics.function import Residual
from synthsae.needs import requires
from synthsae.results import Run, labelled
from synthsae.rng import numpy_generator
from synthsae.sae import SAEStack, kernels

Replace = Callable[[Tensor], Tensor]

CLASSES = ("stable", "unstable")
SHARES = (0.0, 1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2)
"""How many latents are zeroed, as shares of the dictionary."""


@requires("stack", "tokens")
def spliced_loss(run: Run, contexts: int = 48) -> xr.Dataset:
    """Cross-entropy of held-out contexts with reconstructions spliced in, whole and masked.

    At every position that the SAEs are meant for (no BOS, no extreme norm) the model goes on with
    x_hat. Loss recovered is (CE_zero - CE_spliced) / (CE_zero - CE_clean), where CE_zero has zeros
    there. `masked_loss` is what CE rises by as latents of a class are zeroed in a random nested
    order, `matched_loss` for others of nearly the same firing rates (`metrics.masking_orders`);
    `masked_ev` and `matched_ev` are the EV lost on the same tokens. NaN beyond a class's latents.
    """
    source = reader(run)
    splice = Splice.of(source, contexts)
    clean, zero = splice.loss(None), splice.loss(torch.zeros_like)
    stack, label = at_hand(run), reappearance.labels(run.p_hat)
    n = [round(share * run.live.shape[1]) for share in SHARES]
    loss = np.full((len(run.seeds), len(CLASSES), 2, len(n)), np.nan)
    ev = loss.copy()
    for s, seed in enumerate(run.seeds):
        rates, rng = run.evaluation.rates[s], numpy_generator("null", 0, seed)
        orders = masking.masking_orders(label[s], rates, n[-1], rng)
        whole = splice.masked(stack.select([s]), [])
        for c, kind in enumerate(CLASSES):
            for o, order in enumerate(orders[kind]):
                for i, count in enumerate(n):
                    if 0 < count <= len(order):
                        found = splice.masked(stack.select([s]), order[:count])
                        loss[s, c, o, i], ev[s, c, o, i] = found
            loss[s, c, :, 0], ev[s, c, :, 0] = whole
    spliced = loss[:, 0, 0, 0]
    lost, risen = ev[..., :1] - ev, loss - loss[..., :1]
    dims = ("seed", "masked_class", "zeroed")
    others = "others of like firing rates"
    return labelled(
        run,
        ce_clean=((), clean, "cross-entropy of held-out contexts", "nats"),
        ce_zero=((), zero, "the same with zeros for activations", "nats"),
        ce_spliced=(("seed",), spliced, "the same with reconstructions for activations", "nats"),
        loss_recovered=(
            ("seed",),
            (zero - spliced) / (zero - clean),
            "(CE_zero - CE_spliced) / (CE_zero - CE_clean)",
        ),
        masked_loss=(dims, risen[:, :, 0], "rise of CE with latents of a class zeroed", "nats"),
        matched_loss=(dims, risen[:, :, 1], f"rise of CE with {others} zeroed", "nats"),
        masked_ev=(dims, lost[:, :, 0], "EV lost with latents of a class zeroed"),
        matched_ev=(dims, lost[:, :, 1], f"EV lost with {others} zeroed"),
    ).assign_coords(masked_class=list(CLASSES), zeroed=list(SHARES))


@dataclass(frozen=True)
class Splice:
    """Held-out contexts of a model, [N, T], and which of their positions are replaced."""

    source: Activations
    tokens: Tensor
    replaced: Tensor

    @classmethod
    def of(cls, source: Activations, n: int) -> "Splice":
        """`n` contexts drawn at random; all, where there are no more."""
        every = source.contexts("eval")
        some = np.sort(numpy_generator("eval", 0).permutation(len(every))[:n])
        kept: NDArray[np.bool_] = np.zeros(every.shape, dtype=bool)
        kept[source.places(np.arange(source.n_eval))] = True
        return cls(source, torch.from_numpy(np.array(every[some])), torch.from_numpy(kept[some]))

    def loss(self, replace: Replace | None) -> float:
        """Mean cross-entropy in nats with `replace` [n, D] applied at the positions replaced."""
        total, size = 0.0, self.source.source.batch
        for start in range(0, len(self.tokens), size):
            at = self.replaced[start : start + size]

            def spliced(x: Tensor, at: Tensor = at) -> Tensor:
                assert replace is not None
                here = at.to(x.device)
                out = x.clone()
                out[here] = replace(x[here].float()).to(x.dtype)
                return out

            tokens = self.tokens[start : start + size]
            hook = None if replace is None else spliced
            total += float(self.source.model.loss(tokens, hook).double().sum())
        return total / (self.tokens.shape[0] * (self.tokens.shape[1] - 1))

    def masked(
        self, sae: SAEStack, latents: Sequence[int] | NDArray[np.intp]
    ) -> tuple[float, float]:
        """Cross-entropy and EV with the reconstruction of one SAE, `latents` of it zeroed."""
        w = sae.params["w_dec"].clone()
        w[:, list(latents)] = 0
        sums: list[Residual] = []

        def replace(x: Tensor) -> Tensor:
            seen = self.source.normal.apply(x).to(w.device)
            made = (kernels.decode(sae.encode(seen), w) + sae.params["b_dec"][:, None])[0]
            sums.append(Residual.of(seen.cpu().numpy(), made.cpu().numpy()))
            return self.source.normal.undo(made).to(x.device)

        loss = self.loss(replace)
        whole = sums[0]
        for part in sums[1:]:
            whole = whole + part
        return loss, float(1 - whole.fvu)
