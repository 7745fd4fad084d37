"""Type aliases: NumPy arrays and sources of randomness."""

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Index = NDArray[np.intp]
Rng = np.random.Generator | int
"""A generator, or the seed of a new one."""
