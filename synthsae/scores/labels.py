"""Every metric for xarray: the same numbers with dimensions, units and long names.

    from synthsae.scores import labels
    p_hat = labels.reappearance(directions, live=live)     # DataArray [seed, latent]

A `Labelled` metric calls the plain function of `synthsae.metrics` and labels the result. Arguments
are DataArrays, with dimensions in any order, or plain arrays in the order of the plain function.
Coordinates are kept, and further dimensions if the plain function takes leading dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import xarray as xr

from synthsae.metrics import (
    activation,
    covariance,
    function,
    grassmann,
    latent,
    masking,
    planted,
    rank,
    subspace,
    transfer,
)
from synthsae.metrics import (
    reappearance as reappearances,
)
from synthsae.metrics import (
    shared as shares,
)

Dims = tuple[str, ...]


@dataclass(frozen=True)
class Labelled:
    """A metric that returns a labelled DataArray.

    Attributes:
        plain: the function on arrays; its docstring has the definition.
        inputs: dimensions of each positional argument.
        output: dimensions of the result.
        long_name: description of the result.
        units: units of the result.
    """

    plain: Callable[..., Any]
    inputs: tuple[Dims, ...]
    output: Dims
    long_name: str
    units: str = "1"

    def __call__(self, *arrays: Any, **options: Any) -> xr.DataArray:
        """Value of the metric for `arrays`; `options` are passed to the plain function."""
        coords: dict[str, Any] = {}
        extra: list[str] = []
        values = []
        for array, dims in zip(arrays, self.inputs, strict=True):
            if isinstance(array, xr.DataArray):
                more = [str(d) for d in array.dims if d not in dims]
                extra += [d for d in more if d not in extra]
                coords |= {str(n): c.values for n, c in array.coords.items() if n in array.dims}
                array = array.transpose(*more, *dims)
            values.append(np.asarray(array))
        plain = {k: v.values if isinstance(v, xr.DataArray) else v for k, v in options.items()}
        dims = (*extra, *self.output)
        for pair in ("seed_a", "seed_b"):
            if "seed" in coords:
                coords[pair] = coords["seed"]
        return xr.DataArray(
            self.plain(*values, **plain),
            {name: c for name, c in coords.items() if name in dims},
            dims,
            attrs={"long_name": self.long_name, "units": self.units},
        )


_STACK = ("seed", "latent", "dim")
_A, _B, _F = ("latent_a", "dim"), ("latent_b", "dim"), ("feature", "dim")
_SPANS = (("dim", "axis_a"), ("dim", "axis_b"))
_SAMPLES, _CODES = ("sample", "dim"), ("sample", "latent")

cosines = Labelled(latent.cosines, (_A, _B), ("latent_a", "latent_b"), "signed cosine")
max_cosines = Labelled(latent.max_cosines, (_A, _B), ("latent_a",), "largest cosine, many-to-one")
mmcs = Labelled(latent.mmcs, (_A, _B), (), "mean largest cosine, many-to-one")
matched_cosines = Labelled(
    latent.matched_cosines, (_A, _B), ("pair",), "Hungarian-matched cosines, one-to-one"
)
mcc = Labelled(latent.mcc, (("latent", "dim"), _F), (), "mean matched cosine of planted features")
pairwise_mcc = Labelled(
    latent.pairwise_mcc, (_STACK,), ("seed_a", "seed_b"), "PW-MCC: mean matched cosine"
)
pairwise_mmcs = Labelled(
    latent.pairwise_mmcs, (_STACK,), ("seed_a", "seed_b"), "mean largest cosine, many-to-one"
)
found = Labelled(
    reappearances.found, (_STACK,), ("seed_a", "seed_b", "latent"), "latent of a found in b"
)
reappearance = Labelled(
    reappearances.reappearance, (_STACK,), ("seed", "latent"), "reappearance probability p_hat"
)
stability = Labelled(
    reappearances.labels, (("seed", "latent"),), ("seed", "latent"), "stability label", ""
)
shared = Labelled(
    shares.shared, (_STACK, _STACK), ("seed_a", "seed_b", "latent"), "shared by decoder and encoder"
)
correlations = Labelled(
    activation.correlations,
    (("sample", "latent_a"), ("sample", "latent_b")),
    ("latent_a", "latent_b"),
    "correlation of activations",
)
rv = Labelled(
    covariance.rv, (("feature_a", "feature_b"),) * 2, (), "RV of two matched symmetric matrices"
)
nearest_features = Labelled(
    planted.nearest_features,
    (("latent", "dim"), _F),
    ("latent",),
    "nearest feature",
    "",
)
uniqueness = Labelled(
    planted.uniqueness, (("latent", "dim"), _F), (), "distinct nearest features per latent"
)
principal_angles = Labelled(
    subspace.principal_angles, _SPANS, ("angle",), "principal angles, ascending", "rad"
)
overlap = Labelled(subspace.overlap, _SPANS, (), "mean squared cosine over the second span")
chordal_distance = Labelled(grassmann.chordal_distance, _SPANS, (), "chordal distance of two spans")
geodesic_distance = Labelled(
    grassmann.geodesic_distance, _SPANS, (), "geodesic distance of two spans", "rad"
)
block_energy = Labelled(
    subspace.block_energy,
    (("latent", "dim"), ("dim", "axis")),
    ("latent",),
    "share of the squared norm inside the block",
)
members = Labelled(
    subspace.members, (("latent", "dim"), ("dim", "axis")), ("latent",), "member of the block"
)
transfer_curve = Labelled(
    transfer.transfer_curve, (_A, _B), ("rank",), "energy captured by the top-r subspace"
)
effective_rank = Labelled(
    rank.effective_rank, (("latent", "dim"),), (), "effective rank exp(entropy(s / sum s))"
)
participation_ratio = Labelled(
    rank.participation_ratio, (("latent", "dim"),), (), "participation ratio of singular values"
)
explained_variance = Labelled(
    function.explained_variance, (_SAMPLES, _SAMPLES), (), "explained variance"
)
fvu = Labelled(function.fvu, (_SAMPLES, _SAMPLES), (), "fraction of variance unexplained")
firing_rates = Labelled(
    function.firing_rates, (_CODES,), ("latent",), "share of samples on which a latent fires"
)
l0 = Labelled(function.l0, (_CODES,), (), "active latents a sample", "latents")
dead_fraction = Labelled(function.dead_fraction, (("latent",),), (), "share of dead latents")
removal_costs = Labelled(
    masking.removal_costs,
    (_SAMPLES, _SAMPLES, _CODES, ("latent", "dim")),
    ("latent",),
    "explained variance lost when a latent is zeroed",
)
masking_curve = Labelled(
    masking.masking_curve,
    (_SAMPLES, _SAMPLES, _CODES, ("latent", "dim"), ("removed",)),
    ("n_removed",),
    "explained variance as latents are zeroed in order",
)
