"""One latent, in full."""

from dataclasses import dataclass
from html import escape

import pandas as pd

from synthsae.reports.verdicts import MEANING
from synthsae.train.source import Passage


@dataclass(frozen=True, repr=False)
class LatentView:
    """All that is known of one latent.

    Attributes:
        sae: name of its SAE.
        latent: its row in the decoder.
        row: its row of `Report.latents`.
        counterparts: the nearest latent in each other SAE: `latent`, `cosine`, `verdict`.
        contexts: activation and text where it fires most; empty if the text is not known.
    """

    sae: str
    latent: int
    row: pd.Series
    counterparts: pd.DataFrame
    contexts: list[tuple[float, Passage]]

    @property
    def verdict(self) -> str:
        """What is known of the latent (`synthsae.reports.verdicts.Verdict`)."""
        return str(self.row.verdict)

    @property
    def why(self) -> str:
        """The reason for the verdict."""
        return str(self.row.why)

    def __repr__(self) -> str:
        lines = [f"Latent {self.latent} of {self.sae}: {self.verdict}. {self.why}"]
        lines.append(MEANING[self.row.verdict])
        if len(self.counterparts):
            lines += ["", self.counterparts.to_string(float_format="{:.2f}".format)]
        if self.contexts:
            lines += ["", "Fires most on the token in brackets:"]
            lines += [f"  {p.before}[{p.token}]{p.after}" for _, p in self.contexts]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = f"<p><b>Latent {self.latent} of {self.sae}: {self.verdict}.</b> {self.why}</p>"
        texts = "".join(
            f"<li>{escape(p.before)}<mark>{escape(p.token)}</mark>{escape(p.after)}</li>"
            for _, p in self.contexts
        )
        return f"{head}{self.counterparts.to_html(float_format='{:.2f}'.format)}<ul>{texts}</ul>"
