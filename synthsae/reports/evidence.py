"""What is known of every latent of every SAE, as arrays [S, M]."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from synthsae.arrays import Array, Index
from synthsae.metrics.counterparts import Counterparts, counterparts
from synthsae.metrics.deviation import deviation_dimensions
from synthsae.metrics.latent_rank import LatentRank
from synthsae.metrics.verdicts import Verdict
from synthsae.scores.run import Dictionaries
from synthsae.stats import Interval, binomial_interval

UNLISTED = [v for v in Verdict if v > Verdict.SUBSPACE]
"""What `consensus` says of a live latent that is on no list."""


@dataclass(frozen=True)
class Evidence:
    """S SAEs, the lists that they agree on, and what was measured on samples.

    Attributes:
        saes: the SAEs.
        lists: what `consensus` returned for them.
        rates: firing rates, [S, M]; NaN where unknown.
        energy: share of each SAE's energy that a latent carries, [S, M]; NaN where unknown.
    """

    saes: Dictionaries
    lists: xr.Dataset
    rates: Array
    energy: Array

    @property
    def n_others(self) -> int:
        """Number of other SAEs, S - 1."""
        return len(self.saes.seeds) - 1

    @property
    def level(self) -> float:
        """Share of each list that is right, and level of the intervals."""
        return float(self.lists.attrs["level"])

    @cached_property
    def found(self) -> Index:
        """Number of other SAEs in which each latent is found, [S, M]; 0 for dead latents."""
        return np.nan_to_num(self.saes.p_hat * self.n_others).round().astype(int)

    @cached_property
    def p_hat(self) -> Interval:
        """p_hat with its exact binomial interval over the other SAEs, [S, M]; NaN if dead."""
        hits = np.where(self.saes.live, self.found, np.nan)
        return binomial_interval(hits, self.n_others, self.level)

    @cached_property
    def counterparts(self) -> Counterparts:
        """The nearest latent in each other SAE, [S, S, M]."""
        return counterparts(self.saes.directions, self.saes.live, self.saes.absolute)

    @cached_property
    def best_cosine(self) -> Array:
        """Largest cosine with a latent of another SAE, [S, M]; NaN without one."""
        cosine = self.counterparts.cosine
        size = np.abs(cosine) if self.saes.absolute else cosine
        best = np.where(np.isnan(size), -np.inf, size).max(axis=1)
        return np.where(np.isfinite(best), best, np.nan)

    @property
    def rank(self) -> LatentRank:
        """Dimensions in which each latent may turn, [S, M]."""
        return self.saes.latent_rank

    @cached_property
    def deviation(self) -> Array:
        """Dimensions in which a latent and its counterparts deviate from their mean, [S, M].

        R - 1 for free rotation in R dimensions, more for noise (`metrics.deviation`).
        """
        saes = self.saes
        found = deviation_dimensions(saes.directions, self.counterparts, saes.definitions.theta)
        return np.where(saes.live, found, np.nan)

    def column(self, name: str) -> NDArray[Any]:
        """A variable of the lists as an array. (Reading it from a Dataset takes 30 us each.)"""
        if name not in self._columns:
            self._columns[name] = self.lists[name].values
        return self._columns[name]

    @cached_property
    def _columns(self) -> dict[str, NDArray[Any]]:
        """What `column` has read."""
        return {}

    @property
    def listed(self) -> NDArray[np.int8]:
        """What `consensus` says of each latent, `metrics.verdicts.Verdict`, [S, M]."""
        return self.column("latent_verdict")

    @property
    def identity(self) -> Index:
        """The identity that a latent belongs to, or -1, [S, M]."""
        return self.column("latent_identity")

    @cached_property
    def doubles(self) -> Index:
        """The identifiable latent of the same SAE that a latent doubles, or -1, [S, M].

        It doubles that latent if it is a near-copy of it (`consensus`), or if it is on no list and
        in most of the other SAEs its counterpart is that latent's. p_hat is many-to-one, so a
        latent that leans towards a feature reappears wherever the feature does.
        """
        near, theta = self.counterparts, self.saes.definitions.theta
        size = np.abs(near.cosine) if self.saes.absolute else near.cosine
        seeds = np.arange(self.n_others + 1)[:, None]
        theirs = np.where(size >= theta, self.identity[seeds, near.latent], -1)  # [S, S, M]
        middle = np.sort(theirs, axis=1)[:, theirs.shape[1] // 2]  # a majority is the median
        most = 2 * (theirs == middle[:, None]).sum(axis=1) > self.n_others
        own = np.append(self.column("identity_latent"), np.full((1, len(seeds)), -1), axis=0)
        leans = own[middle, seeds]
        free = np.isin(self.listed, UNLISTED) & most & (middle >= 0)
        return np.where(free, leans, self.column("latent_copy_of"))

    @property
    def q(self) -> Array:
        """q of the list item or of the rejected candidate of a latent, [S, M]; NaN without one."""
        return self.column("latent_q")

    @cached_property
    def subspace(self) -> Index:
        """The subspace that a latent is a member of, or -1, [S, M]."""
        member = self.lists.subspace_member.values  # [G, S, M]
        first = member.argmax(axis=0) if len(member) else np.zeros(member.shape[1:], dtype=int)
        return np.where(member.any(axis=0), first, -1)

    @cached_property
    def subspace_energy(self) -> Array:
        """Share of a latent's squared norm inside its subspace, [S, M]; NaN without one."""
        out = np.full(self.subspace.shape, np.nan)
        for g, basis in enumerate(self.lists.subspace_basis.values):
            at = self.subspace == g
            out[at] = np.square(self.saes.directions[at] @ basis.T).sum(axis=1)
        return out
