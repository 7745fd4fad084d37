"""Every score of the library and of our own studies, but for those of texts."""

from synthsae import scores
from synthsae.study import load, names

LIBRARY = [getattr(scores, name) for name in scores.__all__ if name.islower()]
TAKEN = [score for name in names() for score in load(name).scores]
OWN = {score.__name__: score for score in TAKEN if score.__module__.startswith("synthsae")}
EVERY = {score.__name__: score for score in LIBRARY} | OWN
