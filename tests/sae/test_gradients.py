"""The hand-derived gradients against autograd of a dense reference, in float64."""

import dense
import pytest
import torch

from synthsae.sae import SAEConfig, Step, auxk
from synthsae.sae.topk import TopK

S, B, M, D = 3, 20, 16, 7
COEFFICIENT = 1 / 32


def data(seed=1, b=B):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(S, b, D, generator=g, dtype=torch.float64) + 1


def dead_latents(*counts):
    """A dead mask [S, M] with a count for each seed, elsewhere in each."""
    mask = torch.zeros(S, M, dtype=torch.bool)
    for s, n in enumerate(counts):
        mask[s, (5 * torch.arange(n) + s) % M] = True
    return mask


def assert_equal(got, want):
    loss, grads = want
    torch.testing.assert_close(got.loss, loss, rtol=1e-9, atol=0, check_dtype=False)
    assert got.grads.keys() == grads.keys()
    for name, g in grads.items():
        assert (got.grads[name] - g).norm() <= 1e-9 * g.norm(), name


@pytest.mark.parametrize("k", [1, 3, M])
@pytest.mark.parametrize(
    "counts", [(0, 0, 0), (2, 0, 1), (3, 3, 3), (4, 10, 3), (M, 1, 0)], ids=str
)
def test_gradients_equal_autograd(k, counts):
    """With no, fewer and more dead latents than D / 2 = 3, and others in each seed."""
    params, x, dead = dense.random_params(S, M, D), data(), dead_latents(*counts)
    assert dead.sum(1).tolist() == list(counts)
    got = TopK(SAEConfig(n_latents=M, k=k)).gradients(params, x, Step(dead, COEFFICIENT))
    assert_equal(got, dense.gradients(params, x, k, dead, COEFFICIENT))


@pytest.mark.parametrize("room", [10, 12, M, 2 * M])
@pytest.mark.parametrize("counts", [(0, 0, 0), (3, 0, 1), (4, 10, 3)], ids=str)
def test_gradients_with_room_for_the_dead_equal_autograd(monkeypatch, counts, room):
    """With 2 chunks and with 3, the last of which is short."""
    monkeypatch.setattr(auxk, "CHUNK", 6)
    params, x, dead = dense.random_params(S, M, D), data(), dead_latents(*counts)
    got = TopK(SAEConfig(n_latents=M, k=3)).gradients(
        params, x, Step(dead, COEFFICIENT, max_dead=room)
    )
    assert_equal(got, dense.gradients(params, x, 3, dead, COEFFICIENT))


def test_the_room_leaves_no_trace(monkeypatch):
    """An SAE has the same bits with just room for its dead and with more, in float32."""
    monkeypatch.setattr(auxk, "CHUNK", 2)
    params, x = dense.random_params(S, M, D, dtype=torch.float32), data().float()
    sae, dead = TopK(SAEConfig(n_latents=M, k=3)), dead_latents(4, 1, 3)
    want, *others = (
        sae.gradients(params, x, Step(dead, COEFFICIENT, max_dead=n)) for n in (4, 5, M, 3 * M)
    )
    nobody = sae.gradients(params, x, Step(torch.zeros_like(dead), COEFFICIENT, max_dead=0))
    assert (want.loss > nobody.loss).all()
    for got in others:
        assert torch.equal(got.loss, want.loss)
        assert all(torch.equal(got.grads[name], g) for name, g in want.grads.items())


def test_a_batch_of_one_latent_and_data_shared_by_expansion():
    params = dense.random_params(S, 1, D)
    x = data()[0].expand(S, B, D)
    nobody = torch.zeros(S, 1, dtype=torch.bool)
    got = TopK(SAEConfig(n_latents=1, k=1)).gradients(params, x, Step(nobody, COEFFICIENT))
    assert_equal(got, dense.gradients(params, x, 1))


def test_inputs_are_left_alone():
    params, x, dead = dense.random_params(S, M, D), data(), dead_latents(4, 0, 2)
    before = {name: p.clone() for name, p in params.items()}, x.clone(), dead.clone()
    TopK(SAEConfig(n_latents=M, k=2)).gradients(params, x, Step(dead, COEFFICIENT))
    assert all(torch.equal(params[name], p) for name, p in before[0].items())
    assert torch.equal(x, before[1])
    assert torch.equal(dead, before[2])


def test_latents_with_a_positive_value_have_fired():
    params, x = dense.random_params(S, M, D), data(b=3)
    for k in (1, 2, M):
        got = TopK(SAEConfig(n_latents=M, k=k)).gradients(
            params, x, Step(dead_latents(0, 0, 0), 0.0)
        )
        for s in range(S):
            pre = (x[s] - params["b_dec"][s]) @ params["w_enc"][s].T + params["b_enc"][s]
            assert torch.equal(got.fired[s], (dense.topk(pre, k) > 0).any(0))


def test_auxk_touches_dead_rows_alone():
    params, x, dead = dense.random_params(S, M, D), data(), dead_latents(3, 0, 2)
    sae = TopK(SAEConfig(n_latents=M, k=2))
    off = sae.gradients(params, x, Step(torch.zeros_like(dead), COEFFICIENT))
    on = sae.gradients(params, x, Step(dead, COEFFICIENT))
    for name in ("w_enc", "b_enc", "w_dec"):
        moved = (on.grads[name] != off.grads[name]).reshape(S, M, -1).any(2)
        assert torch.equal(moved, dead), name
    assert torch.equal(on.grads["b_dec"], off.grads["b_dec"])
    assert torch.equal(on.loss > off.loss, dead.any(1))
    assert torch.equal(on.fired, off.fired)


def test_auxk_is_zero_where_the_reconstruction_is_perfect():
    """0 / 0: x is an atom of an orthonormal dictionary, and the error is exactly 0."""
    eye = torch.eye(D, dtype=torch.float64)
    rows = torch.cat([eye, torch.full((2, D), 0.1, dtype=torch.float64)])[None]
    params = {
        "w_enc": rows,
        "b_enc": torch.zeros(1, D + 2, dtype=torch.float64),
        "w_dec": rows.clone(),
        "b_dec": torch.zeros(1, D, dtype=torch.float64),
    }
    dead = torch.zeros(1, D + 2, dtype=torch.bool)
    dead[0, D:] = True
    got = TopK(SAEConfig(n_latents=D + 2, k=1)).gradients(params, 2 * eye[None], Step(dead, 1.0))
    assert got.loss.tolist() == [0]
    assert not any(g.any() for g in got.grads.values())


@pytest.mark.parametrize("room", [None, M])
def test_one_seed_cannot_notice_another(room):
    """Not even one whose data are not finite: bit for bit, in float32."""
    params = dense.random_params(S, M, D, dtype=torch.float32)
    x, dead = data().float(), dead_latents(4, 10, 1)
    sae = TopK(SAEConfig(n_latents=M, k=3))
    want = sae.gradients(params, x, Step(dead, COEFFICIENT, max_dead=room))
    for bad in (torch.nan, torch.inf, 1e30):
        broken = x.clone()
        broken[1, 3] = bad
        got = sae.gradients(params, broken, Step(dead, COEFFICIENT, max_dead=room))
        for s in (0, 2):
            assert torch.equal(got.loss[s], want.loss[s])
            assert torch.equal(got.fired[s], want.fired[s])
            for name, g in want.grads.items():
                assert torch.equal(got.grads[name][s], g[s]), (name, bad)
