"""Worlds: activations whose features are planted, so that recovery can be scored against the truth.

A sample is a sparse sum of planted directions, a constant and noise,

    x = sum_i a_i f_i  +  sum_g U_g c_g  +  sum_j P_j s_j  +  b  +  noise * N(0, I_D),

where an isolated feature f_i fires alone, with its correlates (`copula`) or below its parent
(`trees`), a block g fires a code c_g in its subspace U_g (`codes`) and a circle j a point s_j of a
circle in its plane P_j. A world is an activation source: it has `d_model` and yields batches
[B, D].
"""

from synthsae.world.config import LAWS, WorldConfig
from synthsae.world.magnitudes import MAGNITUDES
from synthsae.world.presets import PRESETS
from synthsae.world.source import World

__all__ = ["LAWS", "MAGNITUDES", "PRESETS", "World", "WorldConfig"]
