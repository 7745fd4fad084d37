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

import pandas as pd
import xarray as xr
from synthsae.studies.kron_correlation.figure import (
    KEEP,
    PUBLISHED,
    all_matrices,
    correlation_by_arch,
)
from synthsae.studies.kron_correlation.scores import correlation_recovery

from synthsae import scores
from synthsae.config import Config
from synthsae.plot.finding import Finding
from synthsae.plot.worlds import averaged
from synthsae.sae import SAEConfig
from synthsae.scores import needs
from synthsae.seeds.intervals import interval_of
from synthsae.study import Study
from synthsae.train import TrainConfig
from synthsae.world import WorldConfig


def finding(ds: xr.Dataset) -> Finding:
    """RV of both architectures at the largest correlation, beside the published ones."""
    if not {"topk", "kron"} <= set(ds.arch.values):
        return Finding("TopK and KronSAE are compared only where both are in the Dataset.")
    last = averaged(ds, *KEEP).sortby("correlation").isel(correlation=-1)
    table = pd.DataFrame([_row(last.sel(matrix=m)) for m in last.matrix.values])
    met = table[table["published met"]].matrix
    first = table.iloc[0]
    return Finding(
        "At the largest correlation the RV coefficient with the planted covariance is {kron} of "
        f"KronSAE and {{topk}} of TopK ({first.matrix}). The published {PUBLISHED['kron']} and "
        f"{PUBLISHED['topk']} are reproduced by {', '.join(met) or 'none of our matrices'}.",
        {"kron": first.KronSAE, "topk": first.TopK},
        table,
    )


def _row(one: xr.Dataset) -> dict[str, object]:
    """One matrix: RV of both architectures, and of permuted matchings."""
    rv = {arch: interval_of(one.rv.sel(arch=arch)) for arch in ("topk", "kron")}
    higher = bool(rv["kron"].low > rv["topk"].high)
    near = all(i.low <= PUBLISHED[a] <= i.high for a, i in rv.items())
    return {
        "matrix": str(one.matrix.item()),
        "TopK": float(rv["topk"].estimate),
        "KronSAE": float(rv["kron"].estimate),
        "permuted TopK": one.rv_null.sel(arch="topk").mean().item(),
        "permuted KronSAE": one.rv_null.sel(arch="kron").mean().item(),
        "KronSAE surely higher": higher,
        "published met": near and higher,  # wide intervals alone hold any value
    }


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
    supplement=all_matrices,
    finding=finding,
    quick={"world.correlation": (0.1, 0.9), "n_seeds": 3, "train.n_steps": 100},
    needs=(needs.isolated,),
)
