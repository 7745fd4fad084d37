"""Numbers as text for sentences and titles: unknown values, intervals, ranges, plurals."""

import numpy as np
from numpy.typing import ArrayLike

from synthsae.stats import Interval

UNKNOWN = "unknown"
"""Text for a number that is not finite."""
Range = tuple[float, float]
ANY: Range = (-np.inf, np.inf)
SHARE: Range = (0.0, 1.0)
COSINE: Range = (-1.0, 1.0)
"""Range of cosines, and of differences between shares."""


def number(value: ArrayLike, form: str = ".2f") -> str:
    """A number in a format. Zero has no minus sign; a number that is not finite is `unknown`."""
    x = float(value)  # type: ignore[arg-type]
    if not np.isfinite(x):
        return UNKNOWN
    text = f"{x:{form}}"
    return text[1:] if text[0] == "-" and not text.strip("-0.,%") else text


def interval(score: Interval, form: str = ".2f", within: Range = SHARE) -> str:
    """An estimate and, if known, its interval: `0.94 [0.90, 0.99]`.

    Args:
        score: estimate, low and high.
        form: format of the numbers.
        within: range of the quantity. Jackknife and t intervals of few seeds can leave the range,
            so their ends are clipped to it.
    """
    mean = number(score.estimate, form)
    if mean == UNKNOWN or not np.isfinite([score.low, score.high]).all():
        return mean
    least, most = np.minimum(score.estimate, within[0]), np.maximum(score.estimate, within[1])
    low, high = (number(np.clip(v, least, most), form) for v in (score.low, score.high))
    return f"{mean} [{low}, {high}]"


def span(ends: ArrayLike, form: str = ".2f") -> str:
    """First and last number, `16% to 39%`; one number if both have the same text."""
    texts = [number(v, form) for v in np.ravel(np.asarray(ends, dtype=float))]
    return " to ".join(dict.fromkeys((texts[0], texts[-1]))) if texts else UNKNOWN


def extremes(values: ArrayLike, form: str = ".2f") -> str:
    """`span` from the smallest to the largest finite number."""
    x = np.ravel(np.asarray(values, dtype=float))
    x = x[np.isfinite(x)]
    return span([x.min(), x.max()] if x.size else [], form)


def count(n: float, noun: str, form: str = ".0f") -> str:
    """A number and a noun, in the plural where needed: `1 latent`, `2 latents`."""
    text = number(n, form)
    return f"{text} {noun}" + "s" * (text != "1")
