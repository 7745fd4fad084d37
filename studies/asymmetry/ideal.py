"""What would latents do that had learned everything? Rates and costs from the world alone."""

import numpy as np
import torch
import xarray as xr
from torch import Tensor

from synthsae.evaluation import held_out
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled
from synthsae.world import World

ROUNDING = 1e-5
"""Share of a sample's norm, in float32, up to which its code along a direction is none."""


@requires("planted", "no circles", "separate blocks")
def ideal_code(run: Run) -> xr.Dataset:
    """Mean firing rate and energy of isolated and of block latents in an ideal TopK code.

    Its latents are the isolated features, with their true magnitudes, and in every block the 2R
    directions of a frame +-e_i (under the sparse law: the atoms); the k largest fire. No parameter
    is fitted: what fires is the world's. The energy, rate times mean square over the variance, is
    what zeroing the latent costs where training has converged (`asymmetry.removal`).
    """
    world, n = run.world, run.config.eval_samples
    fires, squares, total = torch.zeros(()), torch.zeros(()), []
    for held in held_out(world, n):
        x, truth = held.x, held.rows_of(world.magnitudes)
        z = _top(torch.cat([truth, _frame(world, x)], dim=1).double(), run.config.sae.k)
        fires, squares = fires + (z > 0).sum(0), squares + (z**2).sum(0)
        total.append(x.double())
    scatter = torch.cat(total).var(0, correction=0).sum() * n
    rate, energy = (v.numpy() for v in (fires / n, squares / scatter))
    f = run.config.world.n_isolated

    def mean(values: np.ndarray) -> float:
        return float(values.mean()) if values.size else np.nan

    return labelled(
        run,
        ideal_rate_isolated=((), mean(rate[:f]), "mean rate of isolated features, ideal code"),
        ideal_rate_block=((), mean(rate[f:]), "mean rate of block latents, ideal code"),
        ideal_cost_isolated=((), mean(energy[:f]), "mean energy of isolated features, ideal code"),
        ideal_cost_block=((), mean(energy[f:]), "mean energy of block latents, ideal code"),
    )


def _frame(world: World, x: Tensor) -> Tensor:
    """Codes of x [B, D] along +-e_i in every block without atoms, [B, 2 G R]."""
    if world.atoms.shape[1]:
        return x[:, :0]
    axes = torch.from_numpy(world.bases).to(x).permute(1, 0, 2).reshape(world.d_model, -1)
    along = x @ axes
    along[along.abs() <= ROUNDING * x.norm(dim=1, keepdim=True)] = 0  # other blocks' samples
    return torch.cat([along, -along], dim=1)


def _top(codes: Tensor, k: int) -> Tensor:
    """The k largest of each row that are positive, the others 0."""
    value, index = codes.topk(min(k, codes.shape[1]), dim=1)
    return torch.zeros_like(codes).scatter_(1, index, value.clamp_min(0))
