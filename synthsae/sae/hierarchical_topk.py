"""HierarchicalTopK: one SAE for all budgets up to k (Balagansky et al. 2025, arXiv 2505.24473)."""

from torch import Tensor

from synthsae.sae.base import ARCHITECTURES
from synthsae.sae.code import Code
from synthsae.sae.nested import Nested


class HierarchicalTopK(Nested):
    """TopK that is trained to reconstruct with each of the budgets t = 1..k.

        z       = relu(TopK(W_enc (x - b_dec) + b_enc)), latents sorted by falling activation
        x_hat_t = b_dec + sum of the first t terms z_j w_dec_j

    Loss of one SAE: mean over t = 1..k of sum ||x - x_hat_t||^2 / sum ||x - mean x||^2 over the
    batch, plus AuxK on x - x_hat_k. The first t entries are the code of TopK with k = t, so the
    trained parameters can be used with any smaller `k`.
    """

    label, saelens, poolable, row_products = (
        "HierarchicalTopK",
        "topk",
        True,
        6,
    )

    def truncations(self, code: Code) -> tuple[Code, Tensor]:
        """Entries sorted by falling value; truncations to t = 1..K entries have equal weights."""
        assert code.indices is not None
        values, place = code.values.sort(dim=2, descending=True, stable=True)
        k = values.shape[2]
        weights = values.new_full((1, 1, k + 1), 1 / k)
        weights[:, :, 0].zero_()
        return Code(values, code.indices.gather(2, place)), weights


ARCHITECTURES["hierarchical_topk"] = HierarchicalTopK
