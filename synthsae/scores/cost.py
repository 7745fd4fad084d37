"""Cost of training in parameters and multiply-adds, which is the same on every machine."""

import xarray as xr

from synthsae.sae import ARCHITECTURES
from synthsae.scores.run import Run, labelled


def training_cost(run: Run) -> xr.Dataset:
    """Parameters of an SAE, and multiply-adds of a training sample at the measured L0.

    Multiply-adds are those of the encoder's forward pass (`Architecture.encoder_multiply_adds`)
    plus D L0 times `Architecture.row_products`, for decoder and gradients of the latents that fire.
    The optimiser, the AuxK loss and the choice of latents are not counted.
    """
    sae, d = run.config.sae.for_width(run.d_model), run.d_model
    architecture = ARCHITECTURES[sae.arch](sae)
    learned = set(first := architecture.init(d, 0)) - set(architecture.buffers)
    encoder = architecture.encoder_multiply_adds(d)
    rows = architecture.row_products * d * run.evaluation.rates.sum(axis=1)
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
