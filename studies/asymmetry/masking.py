"""EV as latents of a class are zeroed: jointly, one by one, and others that fire as often."""

import numpy as np
import xarray as xr
from synthsae.studies.asymmetry.codes import Codes, shares

from synthsae.arrays import Array
from synthsae.metrics import masking
from synthsae.metrics.function import Residual
from synthsae.rng import numpy_generator
from synthsae.scores.needs import requires
from synthsae.scores.run import Run, labelled


@requires("stack")
def masking_by_class(run: Run, n: int = 256, draws: int = 4) -> xr.Dataset:
    """EV lost with the first 0..`n` latents of a class zeroed, in a random nested order.

    Beside it: latents of other classes, each of nearly the rate of the one that it stands for
    (`metrics.masking_orders`), and the sum of the costs of one latent at a time. Means over `draws`
    orders; NaN beyond the latents that there are.
    """
    orders, ratio = _orders(run, n, draws)

    def errors(batch: Codes) -> list[Residual]:
        out = []
        for draw in orders[batch.s]:
            for own, matched in draw.values():
                for order in (own, matched):
                    few = (batch.x, batch.x_hat, batch.z[:, order], batch.w[order])
                    out += [masking.masking_errors(*few, np.arange(len(order)))]
                    out += [masking.removal_errors(*few)]
        return out

    longest = max(len(o.own) for here in orders for draw in here for o in draw.values())
    lost = np.full((len(orders), draws, len(masking.CLASSES), 2, 2, longest + 1), np.nan)
    for fvus, table in zip(shares(run, errors), lost, strict=True):
        curves = table.reshape(-1, 2, longest + 1)  # views: of an order, jointly and summed
        for joint, alone, (both, summed) in zip(fvus[::2], fvus[1::2], curves, strict=True):
            both[: len(joint)] = joint - joint[0]
            summed[: len(joint)] = np.append(0.0, np.cumsum(alone - joint[0]))
    lost = lost.mean(axis=1)
    dims = ("seed", "label", "masked")
    others = "latents of other classes that fire as often"
    return labelled(
        run,
        masked_cost=(dims, lost[:, :, 0, 0], "EV lost with that many latents of a class zeroed"),
        summed_cost=(dims, lost[:, :, 0, 1], "the same, each zeroed alone and the costs summed"),
        matched_cost=(dims, lost[:, :, 1, 0], f"EV lost with as many {others} zeroed"),
        matched_rate_ratio=(
            dims[:2],
            ratio,
            "geometric mean of a matched latent's rate over that of the one it stands for",
        ),
    ).assign_coords(label=list(masking.CLASSES), masked=np.arange(longest + 1))


def _orders(run: Run, n: int, draws: int) -> tuple[list[list[dict[str, masking.Orders]]], Array]:
    """`masking_orders` of each seed and draw, and how well the rates match, [S, class]."""
    label, rates = run.labels, run.evaluation.rates
    orders = []
    ratio = np.full((len(label), draws, len(masking.CLASSES)), np.nan)
    for s, seed in enumerate(run.seeds):
        rng = numpy_generator("null", run.config.world_seed, 0, seed)
        orders.append([masking.masking_orders(label[s], rates[s], n, rng) for _ in range(draws)])
        for d, draw in enumerate(orders[s]):
            for c, (own, matched) in enumerate(draw.values()):
                if len(matched):
                    ratio[s, d, c] = np.log(
                        rates[s, matched] / rates[s, own[: len(matched)]]
                    ).mean()
    return orders, np.exp(ratio.mean(axis=1))
