"""ReLU + L1: gradients, a penalty that no rescaling lowers, and the controller of L0."""

import pytest
import torch
import variants
from variants import NOBODY, architecture, data, random_params

from synthsae.sae import Step

SAE = architecture("relu", options={"coefficient": 0.2})


def loss(p, x):
    z = ((x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"]).relu()
    miss = x - z @ p["w_dec"] - p["b_dec"]
    l1 = (z * p["w_dec"].norm(dim=1)).sum() / (x - x.mean(0)).norm(dim=1).sum()
    return miss.square().sum() / variants.scatter(x) + p["coefficient"] * l1


def test_gradients_equal_autograd():
    params, x = random_params(SAE), data()
    params["coefficient"] = torch.tensor([0.2, 3.0, 0.01], dtype=torch.float64)
    got = SAE.gradients(params, x, Step(NOBODY, 0.0))
    variants.assert_gradients(got, variants.autograd(loss, SAE, params, x))
    pre = (x - params["b_dec"][:, None]) @ params["w_enc"].mT + params["b_enc"][:, None]
    assert torch.equal(got.fired, (pre > 0).any(1))
    torch.testing.assert_close(SAE.encode(params, x).values, pre.relu())


def test_one_seed_cannot_notice_another():
    variants.assert_apart(architecture("relu"), NOBODY)
    variants.assert_untouched(SAE, NOBODY)


def test_rescaling_latents_and_the_data_changes_no_loss():
    """Norms folded from the decoder into the encoder: the plain L1 of unit rows is the penalty."""
    params, x = random_params(SAE), data()
    norm = params["w_dec"].norm(dim=2)
    unit = params | {
        "w_dec": params["w_dec"] / norm[:, :, None],
        "w_enc": params["w_enc"] * norm[:, :, None],
        "b_enc": params["b_enc"] * norm,
    }
    want = SAE.gradients(params, x, Step(NOBODY, 0.0)).loss
    torch.testing.assert_close(SAE.gradients(unit, x, Step(NOBODY, 0.0)).loss, want)
    z, z_unit = SAE.encode(params, x).values, SAE.encode(unit, x).values
    torch.testing.assert_close(z_unit, z * norm[:, None])
    torch.testing.assert_close(z_unit @ unit["w_dec"], z @ params["w_dec"])
    plain = z_unit.sum((1, 2)) / (x - x.mean(1, keepdim=True)).norm(dim=2).sum(1)
    free = SAE.gradients(unit | {"coefficient": torch.zeros(3)}, x, Step(NOBODY, 0.0)).loss
    torch.testing.assert_close(want - free, params["coefficient"] * plain)
    larger = unit | {name: 50 * unit[name] for name in ("b_enc", "b_dec")}
    torch.testing.assert_close(SAE.gradients(larger, 50 * x, Step(NOBODY, 0.0)).loss, want)


def test_the_first_batch_has_the_l0_asked():
    sae = architecture("relu")
    params, x = random_params(sae), data(b=200)
    fired = sae.encode(params | sae.start(params, x), x).values > 1e-9
    torch.testing.assert_close(
        fired.sum(2).double().mean(1), torch.full((3,), 3.0).double(), rtol=0, atol=1 / 200 + 1e-9
    )


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["relu", "gated"])
def test_the_controller_reaches_the_l0_asked_and_rests_at_the_end(monkeypatch, arch):
    """After 300 steps, for each seed; a coefficient is fixed for the last fifth.

    Within 5%, and within 10% of a k that is more than the 2.4 features that fire.
    """
    for k, most in ((2, 0.05), (4, 0.1)):
        stack = variants.trained(arch, k)
        assert (variants.l0(stack) / k - 1).abs().max() < most, k
        spread = stack.params["coefficient"]
        assert len(spread.unique()) == 3  # each seed has its own
    path = variants.coefficients(monkeypatch, arch)
    assert (path[1:80] != path[:79]).any(1).all()
    assert (path[81:] == path[80]).all()


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["relu", "gated"])
def test_a_fixed_coefficient_stays_and_a_larger_one_is_sparser(arch):
    few, many = (variants.trained(arch, options={"coefficient": c}) for c in (1.0, 0.05))
    assert few.params["coefficient"].tolist() == [1.0] * 3
    assert (variants.l0(few) < 0.7 * variants.l0(many)).all()
