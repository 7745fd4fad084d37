"""Gated: gradients, the tie of its two paths, and what its gate learns from."""

import torch
import variants
from variants import NOBODY, architecture, data, random_params

from synthsae.sae import Step

SAE = architecture("gated", options={"coefficient": 0.2})


def code(p, x):
    """Gate and code of one seed."""
    h = (x - p["b_dec"]) @ p["w_enc"].T
    gate = h + p["b_enc"]
    return gate, torch.where(gate > 0, (p["r_mag"].exp() * h + p["b_mag"]).relu(), 0)


def loss(p, x):
    gate, z = code(p, x)
    miss = x - z @ p["w_dec"] - p["b_dec"]
    by_gate = x - gate.relu() @ p["w_dec"].detach() - p["b_dec"].detach()
    l1 = gate.relu().sum() / (x - x.mean(0)).norm(dim=1).sum()
    both = miss.square().sum() + by_gate.square().sum()
    return both / variants.scatter(x) + p["coefficient"] * l1


def test_gradients_equal_autograd():
    params, x = random_params(SAE), data()
    params["coefficient"] = torch.tensor([0.2, 3.0, 0.01], dtype=torch.float64)
    got = SAE.gradients(params, x, Step(NOBODY, 0.0))
    variants.assert_gradients(got, variants.autograd(loss, SAE, params, x))
    z = torch.stack([code({n: v[s] for n, v in params.items()}, x[s])[1] for s in range(3)])
    assert torch.equal(got.fired, (z > 0).any(1))
    torch.testing.assert_close(SAE.encode(params, x).values, z)


def test_one_seed_cannot_notice_another():
    variants.assert_apart(architecture("gated"), NOBODY)
    variants.assert_untouched(SAE, NOBODY)


def test_the_paths_are_tied_up_to_scale_and_shift():
    """With r_mag = 0 and b_mag = b_enc it is a ReLU SAE; b_enc alone says which latents fire."""
    params, x = random_params(SAE), data()
    tied = params | {"r_mag": torch.zeros(3, 16).double(), "b_mag": params["b_enc"]}
    relu = architecture("relu").encode(params, x).values
    torch.testing.assert_close(SAE.encode(tied, x).values, relu)
    doubled = tied | {"r_mag": torch.full((3, 16), 2.0).double().log(), "b_mag": 2 * tied["b_enc"]}
    torch.testing.assert_close(SAE.encode(doubled, x).values, 2 * relu)
    shut = tied | {"b_enc": tied["b_enc"] - 1e9, "b_mag": tied["b_mag"] + 5}
    assert not SAE.encode(shut, x).values.any()


def test_decoder_and_magnitudes_learn_from_the_code_alone():
    """The gate's own loss moves none of them: they have the gradients of a Gated SAE without it."""
    params, x = random_params(SAE), data()
    got = SAE.gradients(params, x, Step(NOBODY, 0.0)).grads

    def first(p, x):
        miss = x - code(p, x)[1] @ p["w_dec"] - p["b_dec"]
        return miss.square().sum() / variants.scatter(x)

    p = {name: v.clone().requires_grad_() for name, v in params.items()}
    sum(first({n: v[s] for n, v in p.items()}, x[s]) for s in range(3)).backward()
    for name in ("w_dec", "r_mag", "b_mag"):
        torch.testing.assert_close(got[name], p[name].grad)
    assert p["b_enc"].grad is None or not p["b_enc"].grad.any()
    assert got["b_enc"].any()
