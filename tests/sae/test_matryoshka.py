"""Matryoshka against a sum over prefixes by autograd, and prefixes that stand alone."""

import dense
import pytest
import torch
import truncations
from truncations import COEFFICIENT, B, D, M, S

from synthsae.checks import ConfigError
from synthsae.sae import SAEConfig, Step
from synthsae.sae.matryoshka import Matryoshka
from synthsae.train import TrainConfig, train
from synthsae.world import World, WorldConfig

WORLD = World.plant(
    WorldConfig(d_model=24, n_isolated=30, isolated_p=0.2, n_blocks=0, rank=1, noise=0.02), seed=0
)
CONFIG = TrainConfig(n_steps=250, batch_size=128, lr=5e-3, device="cpu")


def sae(k, prefixes=None, m=M):
    return Matryoshka(SAEConfig("matryoshka", m, k, options={"prefixes": prefixes}))


def reference(k, sizes):
    """The mean over prefixes of the loss of one code without the latents beyond the prefix."""

    def loss(p, x, dead):
        z = dense.topk((x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"], k)
        x_hat = [z[:, :m] @ p["w_dec"][:m] + p["b_dec"] for m in sizes]
        main = sum(truncations.relative(x, each) for each in x_hat) / len(sizes)
        held = (x - p["b_dec"].detach()) @ p["w_enc"].T + p["b_enc"]
        return main + truncations.auxk(p, x, x_hat[-1], held, dead)

    return loss


@pytest.mark.parametrize("k", [1, 4, M])
@pytest.mark.parametrize("b", [3, B], ids="batch of {}".format)
@pytest.mark.parametrize(("prefixes", "sizes"), [(1, [16]), (3, [4, 8, 16]), (9, [1, 2, 4, 8, 16])])
@pytest.mark.parametrize("counts", [(0, 0, 0), (4, M, 2)], ids=str)
def test_gradients_equal_autograd(k, b, prefixes, sizes, counts):
    params, x = dense.random_params(S, M, D), truncations.data(b=b)
    dead = truncations.dead_latents(*counts)
    got = sae(k, prefixes).gradients(params, x, Step(dead, COEFFICIENT))
    truncations.assert_equal(got, truncations.autograd(reference(k, sizes), params, x, dead))


def test_seeds_cannot_notice_each_other():
    params = dense.random_params(S, M, D)
    truncations.assert_seeds_do_not_notice_each_other(sae(5), params)


def test_auxk_touches_dead_rows_alone():
    params, x = dense.random_params(S, M, D), truncations.data()
    dead = truncations.dead_latents(3, 0, 2)
    off = sae(2).gradients(params, x, Step(torch.zeros_like(dead), COEFFICIENT))
    on = sae(2).gradients(params, x, Step(dead, COEFFICIENT))
    for name in ("w_enc", "b_enc", "w_dec"):
        moved = (on.grads[name] != off.grads[name]).reshape(S, M, -1).any(2)
        assert torch.equal(moved, dead), name
    assert torch.equal(on.grads["b_dec"], off.grads["b_dec"])


def test_prefixes_end_at_one_latent():
    for n in (4, 5, 2**31):
        config = SAEConfig("matryoshka", 12, 2, options={"prefixes": n})
        assert Matryoshka(config).prefixes == [1, 3, 6, 12]


def test_prefixes_nest_and_end_with_the_whole():
    assert sae(1, m=64).prefixes == [4, 8, 16, 32, 64]
    assert sae(1, 2, m=50).prefixes == [25, 50]
    assert sae(1, 1, m=50).prefixes == [50]
    assert sae(1, m=3).prefixes == [1, 3]
    with pytest.raises(ConfigError) as error:
        SAEConfig("matryoshka", options={"prefixes": 0})
    assert (error.value.field, error.value.value) == ("sae.options.prefixes", 0)


def test_a_latent_learns_from_the_prefixes_that_hold_it_alone():
    """Decoder rows beyond a prefix cannot change its loss: only later latents feel them."""
    params, x = dense.random_params(S, M, D), truncations.data()
    nobody = Step(truncations.dead_latents(0, 0, 0), 0.0)
    first, both = sae(6, 1), sae(6, 2)  # {16} and {8, 16}
    a, b = (sae.gradients(params, x, nobody).grads["w_dec"] for sae in (first, both))
    assert a[:, 8:].any(2).sum() > 12
    torch.testing.assert_close(b[:, 8:], a[:, 8:] / 2)
    assert ((b - a / 2)[:, :8].abs().amax(2) > 1e-3)[a[:, :8].any(2)].all()


def explained_by_the_first(stack, m):
    """Explained variance of the code without the latents from `m` on, [S]."""
    x = WORLD.batch(900, 2048, seed=9)
    code = stack.encode(x)
    x_hat = stack.decode(code._replace(values=code.values * (code.indices < m)))
    return 1 - (x - x_hat).square().sum((1, 2)) / (x - x.mean(0)).square().sum()


def test_a_prefix_stands_alone_better_than_the_first_latents_of_topk(tmp_path):
    """The first 6 of 48 latents; and L0 is k."""
    got = {}
    for arch in ("topk", "matryoshka"):
        options = {"prefixes": 4} if arch == "matryoshka" else {}
        sae = SAEConfig(arch, 48, 6, options)
        stack = train(WORLD, sae, CONFIG, seeds=[0, 1]).stack
        x = WORLD.batch(1, 1024, seed=9)
        assert (abs(truncations.mean_l0(stack, x) - 6) < 0.3).all()
        truncations.assert_saved_and_loaded_as_trained(stack, tmp_path, x)
        got[arch] = explained_by_the_first(stack, 6)
    print(got)
    assert (got["matryoshka"] > got["topk"].max() + 0.05).all()
