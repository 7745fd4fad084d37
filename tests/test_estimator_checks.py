"""StableDictionary is an estimator: scikit-learn's own checks, of which none is left out.

scikit-learn itself skips the check of array-API input unless SCIPY_ARRAY_API is set.
"""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from synthsae.estimator import StableDictionary

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
]


@parametrize_with_checks([StableDictionary(n_seeds=2, n_steps=10, batch_size=64, device="cpu")])
def test_scikit_learn_s_checks(estimator, check) -> None:
    check(estimator)
