"""Do KronSAE's latents vary together where the planted features do, and TopK's less so?

The world after the toy of the KronSAE paper (2505.22255): 256 features in R^64 in 16 groups, 8 of
them active a sample on average; inside a group the normals behind the gates have the correlation
on the x axis, across groups none. We know the paper's sizes and its two numbers (RV .157 for TopK,
.514 for KronSAE), not how it makes its data or which matrix of the SAE it takes. So both candidates
are here (`correlation_recovery`), each with and without its diagonal. What surely differs
from the paper: features are a planted tight frame (there, a trained toy model embeds them), gates
are a Gaussian copula with a random number of active features, magnitudes half-normal. KronSAE has
16 heads of 4 x 4 factors, so a head has room for just one group; `--set sae.options.heads=4` gives
it heads of 8 x 8.
"""

import xarray as xr
from synthsae.studies.kron_correlation.figure import KEEP, PUBLISHED, correlation_by_arch
from synthsae.studies.kron_correlation.scores import correlation_recovery

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.common import interval_of_each
from synthsae.plot.phrases import COSINE, SHARE, interval, number
from synthsae.plot.worlds import averaged
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> str:
    """RV of both architectures at the largest correlation, and whether the published one is met."""
    if not {"topk", "kron"} <= set(ds.arch.values):
        return "TopK and KronSAE are compared only where both are in the Dataset."
    flat = averaged(ds, *KEEP).sortby("correlation").isel(correlation=-1)
    clauses, met, order = [], [], []
    for matrix in flat.matrix.values:
        part = flat.sel(matrix=matrix)
        topk, kron = (interval_of_each(part.rv.sel(arch=a)) for a in ("topk", "kron"))
        chance = ", ".join(number(part.rv_null.sel(arch=a).mean()) for a in ("topk", "kron"))
        within = COSINE if "off diagonal" in str(matrix) else SHARE
        both = f"{interval(topk, within=within)} and {interval(kron, within=within)}"
        clauses.append(f"{matrix}: {both} (permuted matchings {chance})")
        if all(i.low <= PUBLISHED[a] <= i.high for a, i in (("topk", topk), ("kron", kron))):
            met.append(str(matrix))
        if kron.low > topk.high:
            order.append(str(matrix))
    mcc = [interval_of_each(flat.feature_mcc.sel(arch=a)) for a in ("topk", "kron")]
    takes = flat.encoder_multiply_adds
    takes = takes.mean([d for d in takes.dims if d != "arch"])
    cost = takes.sel(arch="kron") / takes.where(takes > 0).sel(arch="topk")
    return (
        f"At correlation {float(flat.correlation):g} RV with the planted covariance is, of TopK "
        f"and KronSAE, {'; '.join(clauses)}. The published .157 and .514 are "
        + (f"reproduced by: {', '.join(met)}" if met else "reproduced by none of these")
        + "; KronSAE is surely the higher one (intervals apart) "
        + (f"in: {', '.join(order)}" if order else "in none")
        + f". It finds the features with MCC {interval(mcc[1], within=COSINE)} against "
        f"{interval(mcc[0], within=COSINE)}, and its encoder takes {number(cost, '.0%')} of the "
        f"multiply-adds."
    )


study = Study(
    question="Do KronSAE's latents vary together where the planted features do?",
    base=Config(
        world=WorldConfig(
            d_model=64, n_isolated=256, isolated_p=8 / 256, n_blocks=0, correlation_groups=16
        ),
        sae=SAEConfig(n_latents=256, k=8),
        train=TrainConfig(n_steps=600, batch_size=512, lr=0.01),
        n_seeds=5,
        eval_samples=8192,
    ),
    axes={"sae.arch": ("topk", "kron"), "world.correlation": (0.1, 0.5, 0.9)},
    scores=(
        correlation_recovery,
        scores.feature_recovery,
        scores.reconstruction,
        scores.training_cost,
    ),
    figure=correlation_by_arch,
    finding=finding,
    quick={"world.correlation": (0.1, 0.9), "n_seeds": 3, "train.n_steps": 100},
    needs=(needs.isolated,),
)
