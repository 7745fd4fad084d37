"""What the scores share: the reader behind a run, and the sparse codes on its held-out rows."""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from torch import Tensor

from realdata.activations import Activations
from synthsae.evaluation import held_out
from synthsae.scores.run import Run


def reader(run: Run) -> Activations:
    """The reader of a run's source. Raises ValueError where that has no tokens."""
    source = run.source
    if not isinstance(source, Activations) or not source.source.model:
        raise ValueError(f"source: {type(source).__name__}; allowed: a model, which has tokens")
    return source


def held_out_codes(run: Run, source: Activations) -> tuple[NDArray[np.int64], list[csr_array]]:
    """The rows that the SAEs were evaluated on, [B], and the code of each seed on them, [B, M]."""
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
    """One seed's code of a batch, without its zeros."""
    v = values.detach().double().cpu().numpy()
    if indices is None:
        return csr_array(v)
    sample, place = np.nonzero(v)
    latent = indices.cpu().numpy()[sample, place]
    return csr_array((v[sample, place], (sample, latent)), shape=(len(v), m))


def _joined(parts: list[csr_array]) -> csr_array:
    from scipy.sparse import vstack

    return csr_array(vstack(parts))
