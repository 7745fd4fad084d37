"""The hand-derived gradients against central differences of the loss, in float64.

Where the selection of latents does not change the losses are smooth, and a change would show: a
jump divided by 2 H is larger than any slope. Held at their values are parameters whose gradient is
not the loss's own: JumpReLU's thresholds have a pseudo-derivative, and Gated's decoder is fixed in
the third term of its loss. `autograd` tests hold those to their formulas.
"""

import pytest
import torch
from variants import NOBODY, S, architecture, data, random_params

from synthsae.sae import ARCHITECTURES, Step

H = 1e-6
HELD = {"jumprelu": {"log_threshold"}, "gated": {"w_dec", "b_dec"}}
STEP = Step(NOBODY, 0.0)
PENALTY = {"coefficient": [0.1, 0.4, 2.0], "multiplier": [0.0, 0.2, 1.0]}


def slopes(sae, params, x, direction):
    """Slope of each SAE's loss along `direction`, [S]."""
    ends = [
        sae.gradients({n: p + h * direction.get(n, 0) for n, p in params.items()}, x, STEP).loss
        for h in (H, -H)
    ]
    return (ends[0] - ends[1]) / (2 * H)


@pytest.mark.parametrize("arch", list(ARCHITECTURES))
@pytest.mark.parametrize("alone", [True, False], ids=["each parameter", "all together"])
def test_gradients_are_the_slopes_of_the_loss(arch, alone):
    sae, x = architecture(arch), data()
    params = random_params(sae)
    params |= {n: torch.tensor(v).double() for n, v in PENALTY.items() if n in params}
    grads = sae.gradients(params, x, STEP).grads
    names = grads.keys() - HELD.get(arch, set())
    g = torch.Generator().manual_seed(3)
    for part in [{name} for name in sorted(names)] if alone else [names] * 5:
        direction = {n: torch.randn(params[n].shape, generator=g).double() for n in sorted(part)}
        want = sum((grads[n] * d).reshape(S, -1).sum(1) for n, d in direction.items())
        assert (want != 0).all()
        torch.testing.assert_close(slopes(sae, params, x, direction), want, rtol=1e-5, atol=1e-7)
