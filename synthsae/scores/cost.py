"""What training takes, counted: numbers that are the same on every machine."""

import xarray as xr

from synthsae.sae import ARCHITECTURES
from synthsae.sae.kron import encoder_cost
from synthsae.scores.run import Run, labelled

ROWS = {"matryoshka": 6, "hierarchical_topk": 6, "gated": 6, "kron": 5}
"""Products with a row of D numbers that a firing latent takes in training; 4 if not named.

The four: decode, the gradients of its value, of its decoder row and of its encoder row. Nested
losses also update residual and gradient of each truncation; the gate of Gated has a reconstruction
of its own, whose decoder is fixed; a latent of KronSAE has two encoder rows.
"""


def training_cost(run: Run) -> xr.Dataset:
    """Parameters of an SAE, and multiply-adds a sample, at the measured L0.

    Of the arithmetic alone, with gradients of the latents that fire and no others: the encoder
    forwards, D M or KronSAE's D h (m + n) + m n h, plus `ROWS` D L0. Adam, AuxK and the choice of
    latents are left out, as is that a small code may cost less dense.
    """
    sae, d = run.config.sae.for_width(run.d_model), run.d_model
    architecture = ARCHITECTURES[sae.arch](sae)
    learned = set(first := architecture.init(d, 0)) - set(architecture.buffers)
    encoder = encoder_cost(sae, d)[0].multiply_adds if sae.arch == "kron" else d * sae.size
    rows = ROWS.get(sae.arch, 4) * d * run.evaluation.rates.sum(axis=1)
    return labelled(
        run,
        parameters=((), sum(first[name].numel() for name in learned), "learned parameters"),
        encoder_multiply_adds=((), encoder, "multiply-adds that encode a sample"),
        training_multiply_adds=(
            ("seed",),
            encoder + rows,
            "multiply-adds of a training sample: encoder, decoder, gradients of what fires",
        ),
    )
