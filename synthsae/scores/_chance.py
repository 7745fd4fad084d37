"""Chance levels that are NaN where there is nothing to match."""

from synthsae import theory


def chance_mcc(d: int, latents: int, features: int) -> float:
    """Mean matched cosine of random directions, NaN where one side is empty."""
    if min(latents, features) == 0:
        return float("nan")
    return theory.chance_matched_cosine(d, latents, features)
