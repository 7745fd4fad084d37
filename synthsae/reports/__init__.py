"""Is latent 47 real? What SAEs of several seeds agree on, latent by latent.

`report` makes a `Report`: a table of all latents with a verdict and its reason, the lists of
identities and subspaces, five summary numbers, files for other tools, and a page for a browser.
"""

from synthsae.reports.reporting import Report, report
from synthsae.reports.view import LatentView

__all__ = ["LatentView", "Report", "report"]
