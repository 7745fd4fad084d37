"""Chance levels that are NaN if there is nothing to match."""

from synthsae import theory


def chance_mcc(d: int, latents: int, features: int) -> float:
    """Mean one-to-one matched cosine of random directions in R^d; NaN if one set is empty."""
    if min(latents, features) == 0:
        return float("nan")
    return theory.chance_matched_cosine(d, latents, features)
