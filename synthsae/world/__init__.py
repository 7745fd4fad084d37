"""Worlds: activations whose features are planted, so that recovery can be scored against the truth.

A sample is a sparse sum of planted directions, plus a constant vector and noise:

    x = sum_i a_i f_i  +  sum_g U_g c_g  +  sum_j P_j s_j  +  b  +  noise * N(0, I_D),

- Isolated feature i fires with magnitude a_i along its direction f_i. Features fire independently,
  with correlations (`copula`), or only where a parent feature fires (`trees`).
- Block g fires a code c_g in its subspace U_g (`codes`).
- Circle j fires a point s_j of a circle in its plane P_j.

A world is an activation source: it has `d_model` and yields batches [B, D].
"""

from synthsae.world.config import LAWS, WorldConfig
from synthsae.world.magnitudes import MAGNITUDES
from synthsae.world.presets import PRESETS
from synthsae.world.source import World

__all__ = ["LAWS", "MAGNITUDES", "PRESETS", "World", "WorldConfig"]
