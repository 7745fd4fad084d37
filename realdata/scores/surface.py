"""Surface form: does a latent fire on one token string only?"""

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from scipy.sparse import csr_array

from realdata.activations import Activations
from realdata.scores._text import activations, held_out_codes
from synthsae.arrays import Array
from synthsae.rng import numpy_generator
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled

SPACES = " Ġ▁"
"""Characters by which tokenizers mark the space before a word."""


def concentration(codes: csr_array, strings: NDArray[np.int64]) -> Array:
    """Largest share of a latent's summed activation that falls on one token string, [M].

    max_v sum_{b: v_b = v} z_b / sum_b z_b (derived here); NaN for a latent that does not fire.

    Args:
        codes: activations z >= 0 on B tokens, [B, M].
        strings: the number v_b of the string at each token, [B].
    """
    n, m = codes.shape
    at = csr_array((np.ones(n), (np.arange(n), strings)), shape=(n, int(strings.max()) + 1))
    mass = csr_array(codes.T @ at)
    total = np.asarray(mass.sum(axis=1)).ravel()
    top = mass.max(axis=1).toarray().ravel()
    return np.divide(top, total, out=np.full(m, np.nan), where=total > 0)


@requires("stack", "tokens")
def surface_form(run: Run, draws: int = 4) -> xr.Dataset:
    """Mean `concentration` of the live latents of each class, and its null.

    The string is that of the token on which a latent fires, without a space before it. The null
    permutes the tokens: a latent that fires rarely, or on common strings, concentrates by chance.

    Args:
        run: trained SAEs and their source.
        draws: number of permutations.
    """
    source = activations(run)
    rows, codes = held_out_codes(run, source)
    strings, rng = _strings(source, rows), numpy_generator("null", 0)
    label = run.labels
    seen, null = np.full((2, len(codes), len(LABELS)), np.nan)
    for s, z in enumerate(codes):
        score = concentration(z, strings)
        mixed = np.mean([concentration(z, rng.permutation(strings)) for _ in range(draws)], axis=0)
        for c, name in enumerate(LABELS):
            if (chosen := label[s] == name).any():
                seen[s, c], null[s, c] = np.nanmean(score[chosen]), np.nanmean(mixed[chosen])
    text = "share of a latent's summed activation on its top token string, mean by class"
    return labelled(
        run,
        surface_form=(("seed", "label"), seen, text),
        surface_form_null=(("seed", "label"), null, f"{text}, with tokens permuted"),
    ).assign_coords(label=list(LABELS))


LABELS = ("stable", "middle", "unstable")


def _strings(source: Activations, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number of the token string at each row, [B]."""
    ids, at = np.unique(source.tokens(rows), return_inverse=True)
    words = source.model.tokenizer.convert_ids_to_tokens(ids.tolist())
    bare = [word.lstrip(SPACES) or word for word in words]
    return np.unique(bare, return_inverse=True)[1][at].astype(np.int64)
