"""Numbers in sentences and titles: what is not known is said so, and intervals keep their range."""

from collections.abc import Iterable

import numpy as np
from numpy.typing import ArrayLike

from synthsae.stats import Interval

UNKNOWN = "unknown"
"""What is said where there is no number."""
Range = tuple[float, float]
ANY: Range = (-np.inf, np.inf)
SHARE: Range = (0.0, 1.0)
COSINE: Range = (-1.0, 1.0)
"""Of cosines, and of differences between shares."""
SCORE: Range = (-np.inf, 1.0)
"""Of explained variance."""


TO = "({} to {})"
"""Another form of the ends of an interval."""


def number(value: ArrayLike, form: str = ".2f") -> str:
    """One number in a format; a zero has no minus sign, and what is not finite is unknown."""
    x = float(value)  # type: ignore[arg-type]
    if not np.isfinite(x):
        return UNKNOWN
    text = f"{x:{form}}"
    return text[1:] if text[0] == "-" and not text.strip("-0.,%") else text


def interval(
    score: Interval, form: str = ".2f", within: Range = SHARE, ends: str = "[{}, {}]"
) -> str:
    """An estimate and its interval, if it has one, cut to the range of what is estimated.

    0.94 [0.90, 0.99], or with other `ends`. A jackknife or t interval of few seeds may leave it.
    """
    mean = number(score.estimate, form)
    if mean == UNKNOWN or not np.isfinite([score.low, score.high]).all():
        return mean
    least, most = np.minimum(score.estimate, within[0]), np.maximum(score.estimate, within[1])
    low, high = (number(np.clip(v, least, most), form) for v in (score.low, score.high))
    return f"{mean} {ends.format(low, high)}"


def span(ends: ArrayLike, form: str = ".2f") -> str:
    """From the first to the last number, "16% to 39%"; once where they read alike."""
    said = [number(v, form) for v in np.ravel(np.asarray(ends, dtype=float))]
    return " to ".join(dict.fromkeys((said[0], said[-1]))) if said else UNKNOWN


def change(first: str, last: str) -> str:
    """What became of a number, in words: "goes from .2 to .4", "stays at .2"."""
    return f"stays at {first}" if first == last else f"goes from {first} to {last}"


def extremes(values: ArrayLike, form: str = ".2f") -> str:
    """`span` from the least to the largest of the numbers there are."""
    x = np.ravel(np.asarray(values, dtype=float))
    x = x[np.isfinite(x)]
    return span([x.min(), x.max()] if x.size else [], form)


def count(n: float, noun: str, form: str = ".0f") -> str:
    """How many, with the noun in its number: 1 latent, 2 latents, unknown latents."""
    said = number(n, form)
    return f"{said} {noun}" + "s" * (said != "1")


def listed(words: Iterable[str]) -> str:
    """Words with commas, or `none`."""
    return ", ".join(words) or "none"
