"""Read the firing rates that SAELens writes beside the weights of an SAE."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown

SPARSITY = "sparsity.safetensors"
EPSILON = 1e-10
"""SAELens stores log10(rate + EPSILON), in float32."""


def read(weights: Path, m: int) -> Array | None:
    """Firing rate of each latent, [M]; None without a file, and for one written before any sample.

    Args:
        weights: the file of weights; the rates are in `sparsity.safetensors` beside it.
        m: number of latents M.

    Raises:
        ConfigError: the file is damaged, or does not hold M logarithms of firing rates.
    """
    path = weights.with_name(SPARSITY)
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="pt") as f:
            stored = f.get_tensor("sparsity").double().numpy()
    except (SafetensorError, OSError) as error:
        allowed = "a safetensors file with the tensor sparsity, as SAELens writes it"
        raise ConfigError(str(path), str(error), allowed) from error
    if np.isnan(stored).all() and stored.shape == (m,):  # 0 / 0: no sample since the last reset
        return None
    if stored.shape != (m,) or not (stored <= 1e-6).all():
        given = Shown(f"shape {stored.shape}, largest {stored.max(initial=-np.inf):g}")
        raise ConfigError(str(path), given, f"log10 of {m} firing rates, 0 at most")
    return np.clip(10.0**stored - EPSILON, 0, 1)
