"""Functions that the scores share: the source of a run, and the codes of its held-out rows."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from realdata.activations import Activations
from synthsae.checks import ConfigError
from synthsae.evaluation import held_out
from synthsae.scores.run import Run


def activations(run: Run) -> Activations:
    """The source of a run. Raises ConfigError for a source that has no tokens."""
    source = run.source
    if not isinstance(source, Activations) or not source.source.model:
        raise ConfigError("source", type(source).__name__, "a language model, which has tokens")
    return source


def held_out_codes(run: Run, source: Activations) -> tuple[NDArray[np.int64], list[csr_array]]:
    """The numbers of the held-out rows, [B], and the code of each seed on them, [B, M] each."""
    n, stack = run.config.eval_samples, run.saes
    m = stack.params["w_dec"].shape[1]
    rows: list[NDArray[np.int64]] = []
    codes: list[list[csr_array]] = [[] for _ in run.seeds]
    for held in held_out(source, n, stack=stack, title="codes of held-out rows"):
        rows.append(held.rows_of(source.rows))
        code = stack.encode(held.x)
        for s, parts in enumerate(codes):
            which = None if code.indices is None else code.indices[s]
            parts.append(_sparse(code.values[s], which, m))
    return np.concatenate(rows), [_joined(parts) for parts in codes]


def _sparse(values: Tensor, indices: Tensor | None, m: int) -> csr_array:
    """The code of one seed on a batch as a sparse matrix, [B, m].

    `values` and `indices` are [B, K]; an `indices` of None stands for a dense code.
    """
    v = values.detach().double().cpu().numpy()
    if indices is None:
        return csr_array(v)
    sample, place = np.nonzero(v)
    latent = indices.cpu().numpy()[sample, place]
    return csr_array((v[sample, place], (sample, latent)), shape=(len(v), m))


def _joined(parts: list[csr_array]) -> csr_array:
    """The codes of all batches as one sparse matrix."""
    from scipy.sparse import vstack

    return csr_array(vstack(parts))
