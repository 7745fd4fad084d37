"""One Hypothesis profile for everyone: derandomised, so that a red run is red again. Fixtures.

Triton decides when it is imported whether it compiles or interprets. Without a GPU it has to
interpret, and this file is imported before every test module.
"""

import os

import torch
from cluster import dask, dask_processes, whole
from hypothesis import settings
from language_models import language_model, stories
from laws import way
from threadpoolctl import threadpool_limits

__all__ = ["dask", "dask_processes", "language_model", "stories", "way", "whole"]  # fixtures

if "PYTEST_XDIST_WORKER" in os.environ:
    # Together the workers use all cores. Further threads would only wait for one another.
    torch.set_num_threads(1)
    threadpool_limits(1)

if not torch.cuda.is_available():
    os.environ.setdefault("TRITON_INTERPRET", "1")

settings.register_profile("synthsae", derandomize=True, deadline=None, max_examples=50)
settings.load_profile("synthsae")
