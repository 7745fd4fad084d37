"""The finding of `pooling`: features are found, blocks are covered."""

import pandas as pd
import xarray as xr
from synthsae.studies.pooling.figure import KEEP, LINES, WORLDS

from synthsae.plot.common import in_text, slices
from synthsae.plot.finding import Finding

NAMES = {
    "pool_explained_variance": "EV",
    "pool_reappearance": "found by another",
    "pool_l0": "L0",
    "pool_features_found": "features",
    "pool_block_strict_reappearance": "blocks, strict",
    "pool_block_strict_reappearance_law": "rotated, strict",
}
"""Variable -> column of the table."""


def finding(ds: xr.Dataset) -> Finding:
    """What a pool of the largest size finds and what it only covers, at the largest rank."""
    parts = list(slices(ds if "rank" in ds.dims else ds.expand_dims("rank"), KEEP))
    table = pd.concat([_table(label, part) for label, part in parts], ignore_index=True)
    one, pool = (table[table.recipe == name].iloc[-1] for name in ("one seed", "refitted"))
    if "features" not in table:
        return Finding(
            "The largest refitted pool has an EV of {ev}, one seed {ev_one}. {found:.0%} of its "
            "live latents are in another pool, {found_one:.0%} of one seed's in another seed.",
            {
                "ev": pool["EV"],
                "ev_one": one["EV"],
                "found": pool["found by another"],
                "found_one": one["found by another"],
            },
            table,
        )
    same = in_text(ds, "same")
    return Finding(
        "The largest pool finds {many:.0%} of the isolated features, one seed {one:.0%}. It covers "
        f"blocks without finding them: at a cosine of {same}, {{strict:.0%}} of its block latents "
        "are in another pool, and {rotated:.0%} after random rotations inside the blocks.",
        {
            "many": pool["features"],
            "one": one["features"],
            "strict": pool["blocks, strict"],
            "rotated": pool["rotated, strict"],
        },
        table,
    )


def _table(label: str, part: xr.Dataset) -> pd.DataFrame:
    """A row for one seed and for each recipe at the largest pool, at every rank."""
    mean, each = part.mean([d for d in WORLDS if d in part.dims]), []
    for rank in mean["rank"].values:
        at = mean.sel(rank=rank)
        sources = {"one seed": at.sel({"recipe": "kept"}).isel(pool_size=0)}
        sources |= {r: at.sel({"recipe": r}).isel(pool_size=-1) for r in LINES}
        for recipe, row in sources.items():
            numbers = {text: float(row[name]) for name, text in NAMES.items() if name in row}
            start = {"setting": label} if label else {}
            known = {"rank": rank} if "features" in numbers else {}
            each.append(start | known | {"recipe": recipe} | numbers)
    return pd.DataFrame(each)
