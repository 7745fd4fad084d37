"""A latent as a detector of its planted feature: precision, recall, F1, accuracy.

As in SAELens' synthetic evaluation, each latent is compared with its nearest planted feature
(`planted.nearest_features`). Each latent has a score. SAELens takes the mean over all latents; a
mean over live latents is another choice.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from synthsae import checks
from synthsae.arrays import Array


@dataclass(frozen=True)
class Detection:
    """Counts of samples by whether a latent and its feature fire, [..., M] each.

    `a + b` adds the counts of two batches.
    """

    true_positive: Array
    false_positive: Array
    false_negative: Array
    true_negative: Array

    @classmethod
    def of(cls, codes: ArrayLike, feature_codes: ArrayLike, nearest: ArrayLike) -> Detection:
        """The counts of one batch.

        A latent fires where its code is not 0, a feature where its code is positive.

        Args:
            codes: codes of the SAE, [..., B, M].
            feature_codes: planted codes, [..., B, F].
            nearest: index of each latent's nearest feature, [M].
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
        """TP / (TP + FP), 0 for a latent that never fires, [..., M]."""
        return _ratio(self.true_positive, self.true_positive + self.false_positive)

    @property
    def recall(self) -> Array:
        """TP / (TP + FN), 0 for a feature that never fires, [..., M]."""
        return _ratio(self.true_positive, self.true_positive + self.false_negative)

    @property
    def f1(self) -> Array:
        """Harmonic mean of precision and recall, 2 TP / (2 TP + FP + FN), 0 for 0/0, [..., M]."""
        wrong = self.false_positive + self.false_negative
        return _ratio(2 * self.true_positive, 2 * self.true_positive + wrong)

    @property
    def accuracy(self) -> Array:
        """(TP + TN) / samples, [..., M]; high for every rare feature, found or not."""
        right = self.true_positive + self.true_negative
        return _ratio(right, right + self.false_positive + self.false_negative)


def _ratio(top: Array, bottom: Array) -> Array:
    """top / bottom, 0 for 0/0."""
    return np.divide(top, bottom, out=np.zeros_like(top), where=bottom > 0)
