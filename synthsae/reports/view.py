"""One latent, in full."""

from dataclasses import dataclass

import pandas as pd

from synthsae.reports.verdicts import MEANING


@dataclass(frozen=True, repr=False)
class LatentView:
    """All that is known of one latent.

    Attributes:
        sae: name of its SAE.
        latent: its row in the decoder.
        row: its row of `Report.latents`.
        counterparts: the nearest latent in each other SAE: `latent`, `cosine`, `verdict`.
    """

    sae: str
    latent: int
    row: pd.Series
    counterparts: pd.DataFrame

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
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        head = f"<p><b>Latent {self.latent} of {self.sae}: {self.verdict}.</b> {self.why}</p>"
        return head + self.counterparts.to_html(float_format="{:.2f}".format)
