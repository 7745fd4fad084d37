"""`StableDictionary`: sparse autoencoders of several seeds on a matrix, as in scikit-learn."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.validation import check_array, check_is_fitted, validate_data
from torch import Tensor

from synthsae import checks, progress
from synthsae.arrays import Array
from synthsae.checks import ConfigError, Shown
from synthsae.evaluation import BATCH, Evaluation, evaluate, latent_energy
from synthsae.metrics.function import Residual
from synthsae.metrics.reappearance import found, reappearance
from synthsae.rng import word
from synthsae.sae import SAEConfig
from synthsae.seeds.consensus import consensus
from synthsae.stats import pairwise_interval
from synthsae.train import TrainConfig, shuffle, train

FLOATS = (np.float64, np.float32)
"""Types of X that `transform` keeps; others become float64."""
RATE = 0.1
"""Peak learning rate of one latent; four times that of `TrainConfig`, for fewer steps."""
CHANGED, COMPARED = {"explained variance": 0.01, "p_hat": 0.05}, 4
"""Changes from half of the steps to all of them above which `fit` warns; SAEs trained to see it."""


class StableDictionary(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """Sparse dictionaries of several seeds on one matrix, and what they agree on.

    `fit` trains `n_seeds` sparse autoencoders (SAEs) that differ in their initialisation and in the
    order of the rows. `stability_` says which latents come back, `consensus_` lists the latents
    and the subspaces that the seeds agree on. `transform` returns the code of one seed, as
    `DictionaryLearning` does: X is about `codes @ components_[best_seed_]` plus an offset. Codes
    are 0 or more. All seeds see the same rows, so agreement between seeds does not say that other
    rows would give the same dictionary.

    Args:
        n_latents: latents M of one SAE; None: 2 D.
        k: latents that fire on a row, a maximum or a mean by architecture.
        n_seeds: number of SAEs S, 2 or more.
        arch: architecture, a name in `synthsae.sae.ARCHITECTURES`.
        options: options of the architecture by name; None: its defaults.
        n_steps: optimiser steps.
        batch_size: rows in a step, at most those of X.
        lr: peak learning rate of Adam; None: 0.1 / sqrt(M).
        level: share of each list of `consensus_` that is right, at least and on average.
        random_state: root seed, an integer of 0 or more; None is 0. SAE i of a root seed is the
            same, up to rounding, whatever `n_seeds` is.
        device: "auto", "cpu" or "cuda".
        verbose: whether to show progress on stderr.

    Attributes:
        components_: unit decoder rows, [S, M, D].
        stability_: p_hat of every latent, the share of the other seeds that have a latent of cosine
            0.7 or more with it, [S, M]; NaN for latents that do not fire.
        consensus_: the Dataset of `synthsae.consensus`.
        identities_: unit directions of the latents that the seeds agree on, [n, D]; one that
            `consensus_.identity_claimed` does not claim is reproducible and no more.
        subspaces_: orthonormal rows [R, D] of each subspace that the seeds agree on, a list.
        explained_variance_: of X, by each SAE, [S]: 1 is perfect, 0 is as good as the mean.
        best_seed_: position of the SAE with the largest explained variance, which `transform` uses.
        stack_: the trained SAEs, for rows `(X - mean_) * scale_`.
        mean_: mean of X, [D].
        scale_: the factor that gives the centred X a mean squared norm of D.
        n_features_in_: dimension D.
    """

    def __init__(
        self,
        n_latents: int | None = None,
        k: int = 4,
        n_seeds: int = 8,
        arch: str = "topk",
        *,
        options: Mapping[str, Any] | None = None,
        n_steps: int = 2000,
        batch_size: int = 256,
        lr: float | None = None,
        level: float = 0.95,
        random_state: int | None = None,
        device: str = "auto",
        verbose: bool = False,
    ):
        self.n_latents = n_latents
        self.k = k
        self.n_seeds = n_seeds
        self.arch = arch
        self.options = options
        self.n_steps = n_steps
        self.batch_size = batch_size
        self.lr = lr
        self.level = level
        self.random_state = random_state
        self.device = device
        self.verbose = verbose

    def fit(self, X: ArrayLike, y: object = None) -> "StableDictionary":
        """Train the SAEs on the rows of X, and compare them.

        Args:
            X: real numbers, [N, D], two rows and two columns or more; NumPy, or a data frame.
            y: ignored.

        Raises:
            ConfigError (a ValueError): for a parameter that is not allowed, for values that are not
                finite, and for rows that are all equal.
            FloatingPointError: if the loss of every seed stopped being finite.

        Warns:
            ConvergenceWarning: the result after half of the steps is another one, or the loss of
                some seeds stopped being finite.
        """
        x = self._checked(X, reset=True, ensure_min_samples=2, ensure_min_features=2)
        with nullcontext() if self.verbose else progress.hidden():
            self._fit(x)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Codes of the SAE `best_seed_`, in units of X, [N, M] of the float type of X."""
        check_is_fitted(self)
        return self._encoded(self._checked(X, reset=False))

    def inverse_transform(self, X: ArrayLike) -> Array:
        """Reconstructions [N, D] of rows whose codes X [N, M] are."""
        check_is_fitted(self)
        codes = check_array(X, dtype=FLOATS, input_name="X")
        m = self.components_.shape[1]
        checks.same_shape("X's M", codes.shape[1:], "the dictionary", (m,))
        return self._decoded(codes)

    def score(self, X: ArrayLike, y: object = None) -> float:
        """Explained variance of the rows X [N, D] by the SAE `best_seed_`; NaN if all are equal."""
        check_is_fitted(self)
        x = self._checked(X, reset=False)
        parts = [Residual.of(rows, self._decoded(self._encoded(rows))) for rows in _batches(x)]
        return float(1 - sum(parts[1:], start=parts[0]).fvu)

    def _fit(self, x: Array) -> None:
        sae, how, seeds = self._plan(*x.shape)
        self.mean_, self.scale_ = _statistics(x)
        source = _Rows(self._scaled(x))
        with progress.bar("training", how.n_steps * len(seeds), "steps") as count:
            trained = train(source, sae, how, seeds=seeds, progress=count)
        seen = evaluate(trained.stack, source, len(x))
        energy = latent_energy(trained.stack, source, len(x))
        on_cpu = {name: p.cpu() for name, p in trained.stack.params.items()}
        self.stack_ = replace(trained.stack, params=on_cpu)
        self.components_ = seen.directions
        self.explained_variance_ = seen.explained_variance
        self.best_seed_ = int(np.nanargmax(seen.explained_variance))
        self.stability_ = reappearance(seen.directions, live=seen.live())
        self.consensus_ = agreed = self._agreed(seen, energy)
        self.identities_ = agreed.identity_direction.values
        bases = zip(agreed.subspace_basis.values, agreed.subspace_rank.values, strict=True)
        self.subspaces_ = [basis[:rank] for basis, rank in bases]
        if trained.frozen:
            _warn(f"the loss of the SAEs {sorted(trained.frozen)} stopped being finite: lower lr")
            return
        how, some = replace(how, n_steps=how.n_steps // 2), seeds[:COMPARED]
        half = evaluate(train(source, sae, how, seeds=some).stack, source, len(x))
        if text := _changes(half, seen):
            _warn(f"undertrained: {text}; raise n_steps or lr")

    def _agreed(self, seen: Evaluation, energy: Array) -> Any:
        """The Dataset of `consensus`."""
        d, live = seen.directions, seen.live()
        try:
            return consensus(d, live, rates=seen.rates, energy=energy, level=self.level)
        except ConfigError as error:  # a few latents may have the same numbers in two seeds
            allowed = f"more: the SAEs {error.value} cannot be told from copies of each other"
            raise ConfigError("n_latents", d.shape[1], allowed) from error

    def _plan(self, n: int, d_model: int) -> tuple[SAEConfig, TrainConfig, list[int]]:
        """The SAE, the training and the seed of each SAE, for X [n, d_model]."""
        with _names_of_parameters():
            size = 2 * d_model if self.n_latents is None else self.n_latents
            sae = SAEConfig(self.arch, size, self.k, self.options)
            lr = RATE / sae.size**0.5 if self.lr is None else self.lr
            how = TrainConfig(self.n_steps, self.batch_size, lr, device=self.device)
        checks.between("level", self.level, 0, 1, strict=True)
        root = 0 if self.random_state is None else self.random_state
        root = checks.count("random_state", root, 0)
        seeds = [word("init", root, i) for i in range(checks.count("n_seeds", self.n_seeds, 2))]
        return sae, replace(how, batch_size=min(how.batch_size, n)), seeds

    def _checked(self, X: ArrayLike, **how: Any) -> Array:
        """X as a finite array [N, D] of float64 or float32."""
        x = validate_data(self, X, dtype=FLOATS, ensure_all_finite=False, **how)
        if bad := int((~np.isfinite(x)).sum()):
            raise ConfigError("X", Shown(f"{bad} values NaN or infinite"), "finite numbers")
        return x

    def _scaled(self, x: Array) -> Array:
        """Centred and scaled rows for the SAEs, of the type of x."""
        return (x - self.mean_.astype(x.dtype)) * self.scale_

    def _encoded(self, x: Array) -> Array:
        """Codes of x in units of x, and of its type, [N, M]."""
        kind = torch.float64 if x.dtype == np.float64 else torch.float32
        best = self.stack_.select([self.best_seed_])
        best = replace(best, params={name: p.to(kind) for name, p in best.params.items()})
        out = np.empty((len(x), self.components_.shape[1]), x.dtype)
        for rows, codes in zip(_batches(x), _batches(out), strict=True):
            code = best.encode(torch.from_numpy(self._scaled(rows)))
            codes[:] = code.dense(out.shape[1])[0].numpy() / self.scale_
        return out

    def _decoded(self, codes: Array) -> Array:
        """Reconstructions of codes in units of X, and of their type, [N, D]."""
        kind, best = codes.dtype, self.best_seed_
        offset = self.mean_ + self.stack_.params["b_dec"][best].numpy() / self.scale_
        return codes @ self.components_[best].astype(kind) + offset.astype(kind)

    @property
    def _n_features_out(self) -> int:
        """Number of columns of `transform`, for `get_feature_names_out`."""
        return self.components_.shape[1]

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.transformer_tags.preserves_dtype = [np.dtype(kind).name for kind in FLOATS]
        return tags


class _Rows:
    """An `ActivationSource` of the rows of a matrix: each row once an epoch, in a new order."""

    def __init__(self, x: Array):
        self.x, self.d_model = torch.from_numpy(x.astype(np.float32, copy=False)), x.shape[1]

    def batch(
        self,
        t: int,
        size: int,
        *,
        seed: int,
        stream: str = "data",
        device: torch.device | str = "cpu",
    ) -> Tensor:
        rows = shuffle.rows(len(self.x), t * size, size, seed=seed, stream=stream)
        return self.x[torch.from_numpy(rows)].to(device)


def _statistics(x: Array) -> tuple[Array, float]:
    """Mean [D], and the factor that gives the centred x a mean squared norm of D."""
    if (x == x[0]).all():
        raise ConfigError("X", Shown(f"{len(x)} equal rows"), "rows that differ")
    with np.errstate(over="ignore", invalid="ignore"):
        mean = x.mean(axis=0, dtype=np.float64)
        variance = sum(float(((rows - mean) ** 2).sum()) for rows in _batches(x)) / len(x)
    scale = (x.shape[1] / variance) ** 0.5 if variance > 0 else np.inf
    if not 1e-30 < scale < 1e30:  # for float32
        size = Shown(f"values that vary by {(variance / x.shape[1]) ** 0.5:.1g}")
        raise ConfigError("X", size, "1e-30 to 1e30")
    return mean, scale


def _batches(x: NDArray[Any]) -> Iterator[NDArray[Any]]:
    """The rows of x in order, at most `BATCH` at a time."""
    return (x[i : i + BATCH] for i in range(0, len(x), BATCH))


@contextmanager
def _names_of_parameters() -> Iterator[None]:
    """Errors name `k` where configs name `sae.k`."""
    try:
        yield
    except ConfigError as error:
        raise ConfigError(error.field.partition(".")[2], error.value, error.allowed) from None


def _changes(half: Evaluation, seen: Evaluation) -> str:
    """How the SAEs after half of the steps differ from the same in `seen`, in words; "": hardly.

    p_hat differs if its jackknife interval over seeds says so too; that takes three seeds or more.
    """
    n = len(half.directions)
    words = "{} {:.2f} with half of the steps, {:.2f} with all"
    before, after = half.explained_variance.mean(), seen.explained_variance[:n].mean()
    texts = []
    if abs(after - before) > CHANGED["explained variance"]:
        texts.append(words.format("explained variance", before, after))
    pairs = [_reappearance_by_pair(half, n), _reappearance_by_pair(seen, n)]
    change = pairwise_interval(pairs[1] - pairs[0])
    if abs(change.estimate) > CHANGED["p_hat"] and change.low * change.high > 0:
        texts.append(words.format("p_hat", *(pairwise_interval(p).estimate for p in pairs)))
    return " and ".join(texts)


def _reappearance_by_pair(seen: Evaluation, n: int) -> Array:
    """Share of the live latents of SAE s that are found in SAE t, [n, n], for the first n SAEs."""
    live = seen.live()[:n]
    hits = found(seen.directions[:n], live=live).sum(axis=2)
    return hits / np.maximum(live.sum(axis=1, keepdims=True), 1)


def _warn(text: str) -> None:
    warnings.warn(text, ConvergenceWarning, stacklevel=4)
