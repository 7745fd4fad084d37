"""`report`: what SAEs of several seeds agree on, latent by latent."""

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from synthsae.checks import ConfigError, count, nearest
from synthsae.definitions import DEFAULTS, Definitions
from synthsae.dictionaries import load
from synthsae.evaluation import evaluate, held_out, latent_energy
from synthsae.reports.contexts import Contexts, contexts
from synthsae.reports.evidence import Evidence
from synthsae.reports.latents import table
from synthsae.reports.summary import summary
from synthsae.reports.verdicts import verdicts
from synthsae.reports.view import LatentView
from synthsae.reports.write import write
from synthsae.sae import SAEStack
from synthsae.seeds.consensus import consensus
from synthsae.train import ActivationSource
from synthsae.train.source import TextSource


def report(
    saes: Any,
    source: ActivationSource | None = None,
    *,
    level: float = 0.95,
    n_samples: int = 16_384,
    definitions: Definitions = DEFAULTS,
) -> "Report":
    """What SAEs of several seeds agree on: a verdict on every latent, and the shared lists.

    Args:
        saes: an `SAEStack`; a list of folders, files, hub names or decoders [M, D]; one array of
            decoders [S, M, D]; or what `synthsae.dictionaries.load` returned. At least two SAEs,
            trained on the same activations with independent initialisation and data; three or more
            are needed for the lists.
        source: where held-out activations come from. With an `SAEStack` it gives firing rates,
            energies and live latents. With any SAEs it lets `consensus` tell a feature from a
            principal axis.
        level: share of each list that is right, at least and on average; level of the intervals.
        n_samples: held-out samples to read from `source`.
        definitions: thresholds that define live, found, stable and other terms.

    Raises:
        ConfigError: fewer than two SAEs, other shapes, or what `consensus` and `load` refuse.
    """
    rates = energy = activations = where = None
    together = load(saes, definitions=definitions)
    if source is not None:
        n_samples = count("n_samples", n_samples)
        parts = held_out(source, n_samples, title="samples for the test of axes")
        activations = np.concatenate([held.x.numpy() for held in parts])
        if isinstance(saes, SAEStack):
            seen = evaluate(saes, source, n_samples)
            rates, energy = seen.rates, latent_energy(saes, source, n_samples)
            together = replace(together, live=together.live & seen.live(definitions.live))
            if isinstance(source, TextSource) and source.has_text:
                where = contexts(saes, source, n_samples)
    if together.absolute:
        note = "the lists compare signed directions; p_hat and counterparts ignore the sign"
        together = replace(together, notes=(*together.notes, note))
    lists = consensus(
        together.directions,
        together.live,
        rates=rates,
        energy=energy,
        activations=activations,
        level=level,
        seeds=together.seeds,
    )
    unknown = np.full(together.live.shape, np.nan)
    share = unknown if energy is None else energy / energy.sum(axis=1, keepdims=True)
    return Report(Evidence(together, lists, unknown if rates is None else rates, share), where)


@dataclass(frozen=True, repr=False)
class Report:
    """What SAEs of several seeds agree on.

    Attributes:
        evidence: the arrays behind the tables.
        contexts: where each latent fires most, if the source knows its text.
    """

    evidence: Evidence
    contexts: Contexts | None = None

    @cached_property
    def _verdict(self) -> NDArray[np.object_]:
        """The verdict on every latent, [S, M]."""
        return verdicts(self.evidence)

    @cached_property
    def latents(self) -> pd.DataFrame:
        """A row for each SAE and latent; `synthsae.reports.latents.COLUMNS` explains the columns.

        The index has the levels `sae` and `latent`.
        """
        return table(self.evidence, self._verdict)

    @property
    def consensus(self) -> xr.Dataset:
        """The lists as `synthsae.consensus` returns them, with directions and bases."""
        return self.evidence.lists

    @cached_property
    def identities(self) -> pd.DataFrame:
        """The latents that the SAEs share, the surest first; a column for each SAE's latent."""
        ds = self.consensus
        columns = {
            "claimed": ds.identity_claimed,
            "found": ds.identity_found,
            "q": ds.identity_q,
            "cosine": ds.identity_cosine,
            "cosine_low": ds.identity_cosine_low,
            "cosine_high": ds.identity_cosine_high,
        }
        if "identity_rate" in ds:
            columns["firing_rate"] = ds.identity_rate.mean("seed")
        made = pd.DataFrame({name: v.values for name, v in columns.items()})
        for s, name in enumerate(ds.seed.values):
            made[f"latent in {name}"] = ds.identity_latent.values[:, s]
        return made.rename_axis("identity")

    @cached_property
    def subspaces(self) -> pd.DataFrame:
        """The subspaces that the SAEs share, the surest first."""
        ds = self.consensus
        columns = {
            "rank": ds.subspace_rank,
            "rank_low": ds.subspace_rank_low,
            "rank_high": ds.subspace_rank_high,
            "found": ds.subspace_found,
            "q": ds.subspace_q,
            "angle": ds.subspace_angle,
        }
        made = pd.DataFrame({name: v.values for name, v in columns.items()})
        made["latents"] = ds.subspace_latents.values.mean(axis=1) if len(made) else []
        return made.rename_axis("subspace")

    @cached_property
    def summary(self) -> pd.DataFrame:
        """Five numbers with intervals over SAEs (`synthsae.reports.summary`)."""
        return summary(self.evidence, self._verdict)

    @cached_property
    def counts(self) -> pd.Series:
        """How many latents of all SAEs have each verdict."""
        return self.latents.verdict.value_counts(sort=False)

    def latent(self, latent: int, sae: int | str = 0) -> "LatentView":
        """All that is known of one latent.

        Args:
            latent: its row in the decoder.
            sae: position of the SAE, from 0, or its name.

        Raises:
            ConfigError: for an SAE or a latent that there is not.
        """
        names = list(self.evidence.saes.seeds)
        if isinstance(sae, str) and sae not in names:
            raise ConfigError("sae", sae, ", ".join(names) + nearest(sae, names))
        at = names.index(sae) if isinstance(sae, str) else sae
        if not -len(names) <= at < len(names):
            raise ConfigError("sae", sae, f"0 to {len(names) - 1}")
        rows = self.latents.loc[names[at]]
        if latent not in rows.index:
            raise ConfigError("latent", latent, f"0 to {len(rows) - 1}")
        where = self.contexts.of(at, latent) if self.contexts else []
        near = self._counterparts(at, latent)
        return LatentView(names[at], latent, rows.loc[latent], near, where)

    def _counterparts(self, s: int, latent: int) -> pd.DataFrame:
        """The nearest latent in each other SAE, with its verdict."""
        e = self.evidence
        which, cosine = e.counterparts.latent[s, :, latent], e.counterparts.cosine[s, :, latent]
        (others,) = np.nonzero(which >= 0)
        return pd.DataFrame(
            {
                "latent": which[others],
                "cosine": cosine[others].astype(float),
                "verdict": [str(self._verdict[t, which[t]]) for t in others],
            },
            index=pd.Index([e.saes.seeds[t] for t in others], name="sae"),
        )

    def write(self, folder: str | Path, command: str = "") -> list[Path]:
        """Write the page and the tables to a folder (`synthsae.reports.write`); returns the paths.

        Args:
            folder: made if it does not exist.
            command: how the report was made, for the page.

        Raises:
            ConfigError: the folder cannot be written.
        """
        return write(self, Path(folder), command)

    def __repr__(self) -> str:
        n, s = len(self.latents), len(self.evidence.saes.seeds)
        counts = ", ".join(f"{k} {v}" for k, v in self.counts.items() if k)
        return f"Report of {s} SAEs, {n} latents: {counts}"

    def _repr_html_(self) -> str:
        counts = self.counts.rename("latents").to_frame().T.to_html()
        return f"{self.summary.to_html(float_format='{:.3g}'.format, na_rep='')}{counts}"
