"""Configurations of worlds by name: each is a base for a study."""

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from synthsae.world.config import WorldConfig

# Fields that SynthSAEBench (2602.14687) does not have keep their defaults. SynthSAEBench spreads
# its directions by 100 steps of Adam; ours are a tight frame.
_BENCH = WorldConfig(
    d_model=768,
    n_isolated=16384,
    zipf=0.5,
    isolated_p_max=0.4,
    isolated_p_min=5e-4,
    correlation=0.05,  # loadings N(0, .1^2) on 25 factors
    correlation_rank=25,
    n_trees=128,
    tree_branching=4,
    tree_depth=3,
    exclusive=True,
    tree_scaling=True,
    n_blocks=0,
    magnitude="normal",
    scale_first=5.0,
    scale_last=4.0,
    magnitude_sd=0.5,
    magnitude_sd_spread=0.5,
    bias=0.5,
)

PRESETS: Mapping[str, WorldConfig] = MappingProxyType(
    {
        # the toy of Song et al. (2505.20254) with independent firing; see studies/song_toy
        "song_toy": WorldConfig(d_model=16, n_isolated=32, isolated_p=3 / 32, n_blocks=0),
        "synthsaebench_16k": _BENCH,
        # a sixteenth of the features and trees; isolated_p_min is raised so that L0 is 12, not 7
        "synthsaebench_1k": replace(
            _BENCH, d_model=192, n_isolated=1024, n_trees=8, isolated_p_min=0.0135
        ),
        # after Gerasimov et al. (2606.12138), whose world is not published: isolated features in
        # superposition, and blocks. Two findings of the paper do not hold here: stable latents fire
        # as often as unstable ones, and they fill fewer dimensions (study `synthetic_vs_real`)
        "gerasimov_like": WorldConfig(
            d_model=384,
            n_isolated=384,
            isolated_p=0.02,
            zipf=0.5,
            n_blocks=12,
            rank=16,
            block_p=0.05,
            noise=0.01,
        ),
    }
)
"""World configurations by name."""
