"""One Hypothesis profile for everyone: derandomised, so that a red run is red again."""

from hypothesis import settings

settings.register_profile("synthsae", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("synthsae")
