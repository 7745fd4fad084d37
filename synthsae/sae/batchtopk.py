"""BatchTopK sparse autoencoders (Bussmann et al. 2024, arXiv 2412.06410)."""

import torch
from torch import Tensor

from synthsae.sae import ragged
from synthsae.sae.base import ARCHITECTURES, Architecture, Gradients, Step
from synthsae.sae.kernels import DENSE_BELOW, Code
from synthsae.sae.ragged import Ragged
from synthsae.sae.select import largest
from synthsae.sae.topk import pre_activations, sparse_gradients

CANDIDATES = 4
"""The k B largest entries are first searched among the CANDIDATES k largest of each sample."""

WINDOW = 0.02
"""Time constant of the running mean of the threshold, as a share of the training."""


class BatchTopK(Architecture):
    """The k B largest pre-activations of a batch of B samples fire, if they are positive.

        z     = relu(BatchTopK(W_enc (x - b_dec) + b_enc))      in training
        z     = pre-activations above `threshold`, others 0     after training
        x_hat = W_dec^T z + b_dec

    `threshold` [S] is a running mean over training batches of the smallest value that fires in a
    batch. Loss and AuxK are those of TopK.
    """

    label, saelens, poolable, row_products = "BatchTopK", "jumprelu", True, 4

    buffers = ("threshold",)

    def init(self, d_model: int, seed: int) -> dict[str, Tensor]:
        """The parameters of TopK, and a threshold of 0."""
        return super().init(d_model, seed) | {"threshold": torch.tensor(0.0)}

    def encode(
        self, params: dict[str, Tensor], x: Tensor, *, bfloat16_selection: bool = False
    ) -> Code:
        """The code of `x` [S, B, D], in float32. Samples do not compete: a threshold decides."""
        pre = pre_activations(params, x - params["b_dec"][:, None])
        return Code(pre.mul_(pre > params["threshold"][:, None, None]), None)

    def gradients(self, params: dict[str, Tensor], x: Tensor, step: Step) -> Gradients:
        """Loss and gradient on `x` [S, B, D], derived by hand."""
        x = x - params["b_dec"][:, None]
        pre = pre_activations(params, x, step.bfloat16_selection)
        code = largest_of_batch(pre, self.k)
        if step.bfloat16_selection:
            exact = ragged.inner_products(x, params["w_enc"], code)
            code = code._replace(values=exact + params["b_enc"].gather(1, code.latent))
        code = code._replace(values=code.values.relu())
        _, m, d = params["w_dec"].shape
        dense = m * d <= DENSE_BELOW * self.k
        found = sparse_gradients(params, x, Code(code.dense(m), None) if dense else code, step)
        return found._replace(buffers={"threshold": self._threshold(params, code, step)})

    def _threshold(self, params: dict[str, Tensor], code: Ragged, step: Step) -> Tensor:
        """The threshold after this batch, [S]; unchanged if no latent fires."""
        before, off = params["threshold"], code.values <= 0
        now = code.values.masked_fill(off, torch.inf).amin(1)
        rate = 1.0 if step.training_done == 0 else min(1.0, step.step_fraction / WINDOW)
        return torch.where(now < torch.inf, before + rate * (now - before), before)


def largest_of_batch(pre: Tensor, k: int, width: int | None = None) -> Ragged:
    """The k B largest entries of each SAE's `pre` [S, B, M], exactly, as a code of N = k B entries.

    They are first chosen among the `width` largest entries of each sample. If all of these are
    above the smallest value chosen, the sample may have more. The search is then repeated for that
    SAE alone, with a larger `width`, so that an SAE's entries and their order do not depend on the
    other SAEs.

    Args:
        pre: pre-activations, [S, B, M].
        k: mean number of entries of a sample.
        width: number of candidates of a sample; None: CANDIDATES k.
    """
    s, b, m = pre.shape
    width = min(width or CANDIDATES * k, m)
    values, latent = largest(pre, width)
    chosen, places = largest(values.flatten(1), k * b)
    picked = torch.zeros(s, b * width, dtype=torch.bool, device=pre.device)
    places = picked.scatter_(1, places, True).nonzero()[:, 1].view(s, k * b)
    found = [v.flatten(1).gather(1, places) for v in (values, latent)] + [places // width]
    if width < m:
        incomplete = (values.amin(2) > chosen.amin(1)[:, None]).any(1)
        for i in incomplete.nonzero().ravel().tolist():
            wider = largest_of_batch(pre[i : i + 1], k, 4 * width)
            for all_seeds, new in zip(
                found, (wider.values, wider.latent, wider.sample), strict=True
            ):
                all_seeds[i] = new[0]
    return Ragged(found[0], found[1], found[2], b)


ARCHITECTURES["batchtopk"] = BatchTopK
