"""SAEs of which only the weights are known: trained by others, on disk, or arrays of decoder rows.

`load` takes them in any form and puts them side by side, for the scores of `synthsae.scores` that
need only weights. `read` gives the SAEs of one folder or file; `stacked` puts these side by side.
"""

from synthsae.dictionaries.files import Dictionary, read
from synthsae.dictionaries.loading import load
from synthsae.dictionaries.places import shown
from synthsae.dictionaries.stacking import stacked

__all__ = ["Dictionary", "load", "read", "shown", "stacked"]
