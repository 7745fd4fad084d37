"""KronSAE against an encoder that forms every pair, its cost, and what it never allocates."""

import dense
import pytest
import torch
import truncations
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode
from truncations import COEFFICIENT, D, M, S

from synthsae.checks import ConfigError
from synthsae.evaluation import evaluate
from synthsae.sae import SAEConfig, SAEStack, Step
from synthsae.sae.kron import KronSAE, encoder_cost, shape
from synthsae.train import TrainConfig, train
from synthsae.world import World, WorldConfig

SHAPES = [(1, 4, 4), (2, 2, 4), (4, 4, 1), (16, 1, 1), (1, 1, 16)]


def config(h=None, m=None, n=None, k=3, size=M):
    return SAEConfig("kron", size, k, {"heads": h, "m": m, "n": n})


def random_params(h, m, n, seed=0):
    p = dense.random_params(S, h * (m + n), D, seed)
    return p | {"w_dec": dense.random_params(S, h * m * n, D, seed + 1)["w_dec"]}


def mand(p, x, h, m, n):
    """All pairs, one by one: sqrt(u v) where both are positive, masked before the root, [B, M]."""
    out = []
    f = x @ p["w_enc"].T + p["b_enc"]
    for i in range(m):
        for j in range(n):
            for head in range(h):
                u, v = f[:, i * h + head], f[:, (m + j) * h + head]
                on = (u > 0) & (v > 0)
                product = torch.where(on, u * v, torch.ones_like(u))
                out.append(product.sqrt() * on)
    return torch.stack(out, 1)


def reference(h, m, n, k):
    def loss(p, x, dead):
        x_hat = dense.topk(mand(p, x - p["b_dec"], h, m, n), k) @ p["w_dec"] + p["b_dec"]
        held = mand(p, x - p["b_dec"].detach(), h, m, n)
        return truncations.relative(x, x_hat) + truncations.auxk(p, x, x_hat, held, dead)

    return loss


@pytest.mark.parametrize("k", [1, 3, M])
@pytest.mark.parametrize("hmn", SHAPES, ids=str)
@pytest.mark.parametrize("counts", [(0, 0, 0), (4, 0, 10), (M, 1, 3)], ids=str)
def test_gradients_equal_autograd(k, hmn, counts):
    params, x, dead = random_params(*hmn), truncations.data(), truncations.dead_latents(*counts)
    got = KronSAE(config(*hmn, k=k)).gradients(params, x, Step(dead, COEFFICIENT))
    truncations.assert_equal(got, truncations.autograd(reference(*hmn, k), params, x, dead))


def test_encode_is_topk_of_all_pairs():
    params, x = random_params(2, 2, 4), truncations.data()
    code = KronSAE(config(2, 2, 4)).encode(params, x)
    for s in range(S):
        p = {name: v[s] for name, v in params.items()}
        want = dense.topk(mand(p, x[s] - p["b_dec"], 2, 2, 4), 3)
        torch.testing.assert_close(code.dense(M)[s], want)


def test_seeds_cannot_notice_each_other():
    sae = KronSAE(config(2, 2, 4))
    truncations.assert_seeds_do_not_notice_each_other(sae, random_params(2, 2, 4))


@pytest.mark.parametrize("tiny", [0.0, 1e-45, 1e-38, 1e-30])
def test_gradients_are_finite_where_a_factor_is_zero_or_nearly(tiny):
    """One pair: u = `tiny`, v = 1; where u is 0 nothing moves."""
    params = {
        "w_enc": torch.tensor([[[0.0, 0.0], [0.0, 1.0]]]),
        "b_enc": torch.tensor([[tiny, 0.0]]),
        "w_dec": torch.tensor([[[0.0, 1.0]]]),
        "b_dec": torch.zeros(1, 2),
    }
    x = torch.tensor([[[0.0, 1.0], [0.0, -1.0]]])
    got = KronSAE(config(size=1, k=1)).gradients(params, x, Step(torch.zeros(1, 1) > 0, 0.0))
    assert all(g.isfinite().all() for g in got.grads.values())
    assert got.grads["b_enc"].any() == (tiny > 0)


def test_auxk_reaches_dead_decoder_rows_and_the_factors_of_dead_latents_alone():
    params, x = random_params(2, 2, 4), truncations.data()
    dead = torch.zeros(S, M, dtype=torch.bool)
    dead[0, [3, 12]] = True  # pair (0, 1) of head 1 and (1, 2) of head 0
    sae = KronSAE(config(2, 2, 4))
    off = sae.gradients(params, x, Step(torch.zeros_like(dead), COEFFICIENT))
    on = sae.gradients(params, x, Step(dead, COEFFICIENT))
    moved = {n: (g != off.grads[n]).reshape(*g.shape[:2], -1).any(2) for n, g in on.grads.items()}
    assert torch.equal(moved["w_dec"], dead)
    for name in ("w_enc", "b_enc"):
        assert moved[name].nonzero().tolist() == [[0, 1], [0, 2], [0, 7], [0, 8]]
    assert torch.equal(on.grads["b_dec"], off.grads["b_dec"])


def test_it_starts_with_atoms_that_are_unit_sums_of_their_factors():
    stack = SAEStack.init(config(3, 2, 4, size=24), D, (7, 3))
    p = stack.params
    assert {n: tuple(v.shape) for n, v in p.items()} == {
        "w_enc": (2, 18, D),
        "b_enc": (2, 18),
        "w_dec": (2, 24, D),
        "b_dec": (2, D),
    }
    for i in range(2):
        for j in range(4):
            for head in range(3):
                atom = p["w_enc"][:, 3 * i + head] + p["w_enc"][:, 3 * (2 + j) + head]
                atom /= atom.norm(dim=1, keepdim=True)
                torch.testing.assert_close(p["w_dec"][:, (4 * i + j) * 3 + head], atom)
    torch.testing.assert_close(p["w_enc"].norm(dim=2), torch.ones(2, 18))
    alone = SAEStack.init(config(3, 2, 4, size=24), D, (3,)).params
    assert all(torch.equal(v[1], alone[name][0]) for name, v in p.items())
    assert not torch.equal(p["w_enc"][0], p["w_enc"][1])


@pytest.mark.parametrize(
    ("given", "size", "want"),
    [
        ((None, None, None), 256, (16, 4, 4)),
        ((None, None, None), 24, (2, 3, 4)),
        ((None, None, None), 8, (1, 2, 4)),
        ((None, None, None), 13, (13, 1, 1)),
        ((None, None, None), 1, (1, 1, 1)),
        ((4, None, None), 256, (4, 8, 8)),
        ((8, None, None), 256, (8, 4, 8)),
        ((None, 2, None), 256, (32, 2, 4)),
        ((None, None, 8), 256, (8, 4, 8)),
        ((None, 2, 8), 256, (16, 2, 8)),
        ((8, 2, None), 256, (8, 2, 16)),
        ((8, None, 2), 256, (8, 16, 2)),
        ((8, 4, 8), 256, (8, 4, 8)),
    ],
)
def test_heads_and_factors_follow_from_the_number_of_latents(given, size, want):
    assert shape(config(*given, size=size, k=1)) == want


@pytest.mark.parametrize("given", [(3, None, None), (None, 5, 3), (2, 2, 2), (512, None, None)])
def test_a_product_that_is_not_the_number_of_latents_is_one_line(given):
    with pytest.raises(ConfigError) as error:
        config(*given, size=256)
    assert str(error.value) == (
        f"sae.options.heads, m, n: {given!r}; allowed: numbers whose product is n_latents, 256"
    )


class Counter(TorchDispatchMode):
    """Products made one by one, and the largest tensor that is made."""

    def __init__(self):
        super().__init__()
        self.products, self.largest = 0, 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        sizes = [t.numel() for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        self.largest = max([self.largest, *sizes])
        self.products += sum(sizes) if func is torch.ops.aten.mul.Tensor else 0
        return out


@pytest.mark.parametrize("hmn", [(8, 4, 4), (4, 2, 16), (32, 2, 4)], ids=str)
@pytest.mark.parametrize("d", [24, 65])
def test_the_encoder_costs_what_the_formula_says_and_forms_no_dense_matrix(hmn, d):
    """Counted by torch on one sample: D h (m + n) in matmuls, m n h products; against D M."""
    h, m, n = hmn
    c = config(*hmn, size=h * m * n)
    stack, x = SAEStack.init(c, d, (0,)), torch.randn(1, 1, d)
    with FlopCounterMode(display=False) as flops, Counter() as made:
        stack.encode(x)
    kron, full = encoder_cost(c, d)
    assert flops.get_total_flops() == 2 * d * h * (m + n)
    assert made.products == m * n * h
    assert kron.multiply_adds == d * h * (m + n) + m * n * h
    assert made.largest < d * h * m * n
    weights = [stack.params[name] for name in ("w_enc", "b_enc")]
    assert kron.bytes == sum(p.numel() * p.element_size() for p in weights)

    plain = SAEStack.init(SAEConfig("topk", c.n_latents, 3), d, (0,))
    with FlopCounterMode(display=False) as flops:
        plain.encode(x)
    assert flops.get_total_flops() == 2 * full.multiply_adds
    weights = [plain.params[name] for name in ("w_enc", "b_enc")]
    assert full.bytes == sum(p.numel() * p.element_size() for p in weights)


def test_training_forms_no_dense_encoder_either():
    """A batch of 8: beside the decoder and its gradient nothing has M D numbers."""
    c, d = config(16, 4, 4, size=256), 200
    stack, x = SAEStack.init(c, d, (0,)), torch.randn(1, 8, d)
    g = stack.architecture.gradients(stack.params, x, Step(torch.zeros(1, 256) > 0, 0.0)).grads
    assert sorted(v.numel() for v in g.values()) == [128, d, 128 * d, 256 * d]


def test_a_short_training_reconstructs_with_k_latents(tmp_path):
    world = World.plant(
        WorldConfig(d_model=24, n_isolated=20, isolated_p=0.15, n_blocks=0, rank=1, noise=0.02),
        seed=0,
    )
    c = TrainConfig(n_steps=200, batch_size=128, lr=5e-3, device="cpu")
    trained = train(world, SAEConfig("kron", 64, 6), c, seeds=[0, 1])
    assert trained.frozen == {}
    x = world.batch(1, 1024, seed=9)
    l0, got = truncations.mean_l0(trained.stack, x), evaluate(trained.stack, world, 4096)
    print(l0, got.explained_variance)
    assert (abs(l0 - 6) < 0.6).all()
    assert (got.explained_variance > 0.8).all()
    truncations.assert_saved_and_loaded_as_trained(trained.stack, tmp_path, x)
