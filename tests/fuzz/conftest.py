"""The fixture `fuzz`: a few fixed examples in the default suite, a share of the time in a hunt."""

import os
import secrets

import pytest
from fuzzing import hunt, sample


@pytest.fixture(params=["sample", pytest.param("hunt", marks=pytest.mark.fuzz)])
def fuzz(request):
    """Runs a check on examples; see `fuzzing`."""
    if request.param == "sample":
        return sample
    seconds = 60 * float(os.environ.get("FUZZ_MINUTES", 60)) / len(request.session.items)
    seed = int(os.environ.get("FUZZ_SEED") or secrets.randbelow(2**31))
    return lambda check, examples, few=0: hunt(check, examples, seconds, seed, request.node.name)
