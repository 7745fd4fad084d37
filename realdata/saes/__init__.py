"""SAEs that others trained, or that are on disk: read their decoders and compare them.

`read` gives the SAEs of a folder or file, and `stacked` puts them side by side for
`realdata.compare.compare` and for the scores of `synthsae.scores` that need only weights.
"""

from realdata.saes.files import Dictionary, read, shown
from realdata.saes.stacking import stacked

__all__ = ["Dictionary", "read", "shown", "stacked"]
