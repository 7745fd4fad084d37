"""The finding of `pooling`, in words."""

import xarray as xr
from synthsae.studies.pooling.figure import KEEP, LINES, WORLDS, before_training, needed

from synthsae.plot.common import defined, in_text, slices
from synthsae.plot.phrases import count, number

BLOCK = ("block_reappearance", "block_strict_reappearance")
JUDGED = (*BLOCK, *(f"{name}_law" for name in BLOCK), "isolated_strict_reappearance")


def finding(ds: xr.Dataset) -> str:
    """What unions cover, what pools of the largest size find, and what they cost."""
    text = []
    for label, part in slices(ds if "rank" in ds.dims else ds.expand_dims("rank"), KEEP):
        text += [f"With {label}:"] * bool(label)
        mean = part.mean([d for d in WORLDS if d in part.dims], keep_attrs=True)
        if "union_block_law" in mean:
            text.append(_covered(mean))
        if "pool_features_found" in mean:
            text.append(_found(mean.sel({"recipe": "refitted"})))
        text.append(_spent(mean.isel(rank=-1)))
    return " ".join(text)


def _covered(mean: xr.Dataset) -> str:
    ranks, p = mean["rank"].values, mean.union_block_reappearance
    if not p.notnull().any():
        return "No block has latents that a union could cover."
    most = int(p.union_size.max())
    seen = [f"{n:.0f}" if n <= most else f"more than {most}" for n in map(needed, _each(p))]
    law = [number(n, ".0f") for n in before_training(ranks, defined(mean, "theta"))]
    gap = number(abs(p - mean.union_block_law).max(), ".3f")
    return (
        f"Of block latents of rank {', '.join(map(str, ranks))} 95% are in the union of "
        f"{', '.join(seen)} other seed{'s' * (seen != ['1'])} ({', '.join(law)} by the law before "
        f"training), at most {gap} from the coverage law."
    )


def _each(values: xr.DataArray) -> list[xr.DataArray]:
    """The values at each rank."""
    return [values.sel(rank=r) for r in values["rank"].values]


def _found(pool: xr.Dataset) -> str:
    one, many = (pool.isel(pool_size=i) for i in (0, -1))
    seen, strict, law, strict_law, isolated = (
        "/".join(number(v) for v in many[f"pool_{name}"].values) for name in JUDGED
    )
    theta, same = in_text(pool, "theta"), in_text(pool, "same")
    return (
        f"A pool of {count(int(many.pool_size), 'seed')} has "
        f"{number(many.pool_features_found[-1], '.0%')} of the isolated features, one seed "
        f"{number(one.pool_features_found[-1], '.0%')}. A disjoint "
        f"pool has, by rank, {seen} of its block latents at cosine {theta} ({law} where they are "
        f"rotated) and {strict} at {same} ({strict_law}), of its features' latents {isolated} at "
        f"{same}."
    )


def _spent(last: xr.Dataset) -> str:
    rows = {"one seed": last.sel({"recipe": "kept"}).isel(pool_size=0)}
    rows |= {r: last.sel({"recipe": r}).isel(pool_size=-1) for r in LINES}
    names = ("pool_explained_variance", "pool_reappearance", "pool_l0")
    said = [f"{r} {', '.join(number(row[n], '.3g') for n in names)}" for r, row in rows.items()]
    return f"EV, live latents found by other seeds, L0: {'; '.join(said)}."
