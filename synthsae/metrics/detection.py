"""A latent as a detector of its planted feature: precision, recall, F1, accuracy.

As in SAELens' synthetic evaluation, each latent is judged against its nearest planted feature
(`planted.nearest_features`). Scores are per latent: take the mean over all latents (as SAELens
does) or over the live ones.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array


@dataclass(frozen=True)
class Detection:
    """Samples by (latent fires, its feature fires), counts [..., M]; `a + b` joins batches."""

    true_positive: Array
    false_positive: Array
    false_negative: Array
    true_negative: Array

    @classmethod
    def of(cls, codes: ArrayLike, feature_codes: ArrayLike, nearest: ArrayLike) -> Detection:
        """Count one batch: codes [..., B, M], planted codes [..., B, F], nearest feature [M].

        A latent fires where its code is not 0, a feature where its code is positive. Raises
        ValueError for shapes that do not fit, and for a nearest feature that does not exist.
        """
        z = checks.array("codes", codes, "[..., B, M]")
        f = checks.array("feature_codes", feature_codes, "[..., B, F]")
        checks.same_shape("feature_codes' batch", f.shape[:-1], "codes", z.shape[:-1])
        index = checks.whole("nearest", nearest, 0, f.shape[-1] - 1)
        checks.same_shape("nearest", index.shape, "codes' latents", z.shape[-1:])
        fires, truth = z != 0, (f > 0)[..., index]
        pairs = ((fires, truth), (fires, ~truth), (~fires, truth), (~fires, ~truth))
        return cls(*(np.asarray(np.sum(a & b, axis=-2), dtype=np.float64) for a, b in pairs))

    def __add__(self, other: Detection) -> Detection:
        return Detection(
            self.true_positive + other.true_positive,
            self.false_positive + other.false_positive,
            self.false_negative + other.false_negative,
            self.true_negative + other.true_negative,
        )

    @property
    def precision(self) -> Array:
        """TP / (TP + FP), the share of its firings that hold the feature; 0 if it never fires."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> Array:
        """TP / (TP + FN), the share of the feature's firings it sees; 0 if there are none."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> Array:
        """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN); 0 where undefined."""
        wrong = self.false_positive + self.false_negative
        return _ratio(2 * self.true_positive, 2 * self.true_positive + wrong)

    @property
    def accuracy(self) -> Array:
        """(TP + TN) / samples; high for every rare feature, found or not."""
        right = self.true_positive + self.true_negative
        return _ratio(right, right + self.false_positive + self.false_negative)


def _ratio(top: Array, bottom: Array) -> Array:
    """top / bottom, 0 at 0/0."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
