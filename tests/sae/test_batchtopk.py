"""BatchTopK: exactly k B latents a batch, gradients, and a threshold that replaces the batch."""

import pytest
import torch
import variants
from hypothesis import given
from hypothesis import strategies as st
from variants import NOBODY, B, K, M, S, architecture, data, random_params

import synthsae.sae.batchtopk as batchtopk
from synthsae.sae import SAEStack, Step, kernels, ragged
from synthsae.sae.batchtopk import largest_of_batch

SAE = architecture("batchtopk")


def keep(pre, k):
    """The k B largest of one seed's `pre` [B, M], others 0."""
    return pre * (pre >= pre.ravel().sort()[0][-k * len(pre)])


def loss(p, x, k=K):
    z = keep((x - p["b_dec"]) @ p["w_enc"].T + p["b_enc"], k).relu()
    return (x - z @ p["w_dec"] - p["b_dec"]).square().sum() / variants.scatter(x)


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("k", [1, 3, 9, M])
def test_gradients_equal_autograd(monkeypatch, dense, k):
    monkeypatch.setattr(batchtopk, "DENSE_BELOW", 1e9 if dense else 0)
    sae = architecture("batchtopk", k=k)
    params, x = random_params(sae), data()
    got = sae.gradients(params, x, Step(NOBODY, 0.0))
    want = variants.autograd(lambda p, x: loss(p, x, k), sae, params, x)
    variants.assert_gradients(got, want)


def normal(seed, *shape):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 2**32), st.integers(1, 12), st.integers(1, 40), st.integers(1, 4))
def test_exactly_the_k_b_largest_are_chosen(seed, b, m, k):
    """With samples of very different lengths, so that some have nearly all of them."""
    k = min(k, m)
    pre = normal(seed, 3, b, m) * normal(seed + 1, 3, b, 1).exp() ** 2
    code = largest_of_batch(pre, k)
    assert code.values.shape == (3, k * b)
    place = code.sample * m + code.latent
    assert torch.equal(pre.flatten(1).gather(1, place), code.values)
    want = pre.flatten(1).sort(descending=True)[0][:, : k * b]
    assert torch.equal(code.values.sort(descending=True)[0], want)
    assert all(len(set(row)) == k * b for row in place.tolist())
    assert (code.sample.diff(dim=1) >= 0).all()


def test_one_greedy_sample_makes_its_seed_alone_look_wider(monkeypatch):
    pre = normal(0, 2, 8, 64)
    pre[1, 3] += 100  # takes 8 * 1 of 8 entries
    seen, plain = [], batchtopk.largest

    def spy(x, k):
        seen.append((x.shape, k))
        return plain(x, k)

    monkeypatch.setattr(batchtopk, "largest", spy)
    code = largest_of_batch(pre, 1)
    assert [s for s, _ in seen] == [(2, 8, 64), (2, 32), (1, 8, 64), (1, 128)]
    assert [k for _, k in seen] == [4, 8, 16, 8]
    assert code.sample[1].tolist() == [3] * 8
    alone = largest_of_batch(pre[:1], 1)
    assert all(torch.equal(a[0], b[0]) for a, b in zip(code[:3], alone[:3], strict=True))


def test_equal_values_give_k_b_entries_too():
    assert largest_of_batch(torch.ones(2, 5, 9), 2).values.shape == (2, 10)


@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(1, 9), st.integers(1, 5))
def test_ragged_kernels_equal_dense_sums(seed, b, m, d):
    pre, weight, x = normal(seed, 3, b, m), normal(seed + 1, 3, m, d), normal(seed + 2, 3, b, d)
    code = largest_of_batch(pre.double(), 1)
    weight, x, dense = weight.double(), x.double(), code.dense(m)
    order = ragged.by_latent(code, m)
    torch.testing.assert_close(ragged.decode(code, weight), dense @ weight)
    inner = (x @ weight.mT).flatten(1).gather(1, code.sample * m + code.latent)
    torch.testing.assert_close(ragged.inner_products(x, weight, code), inner)
    back = kernels.transpose_decode(code.values, order, x)
    torch.testing.assert_close(back, dense.mT @ x)
    torch.testing.assert_close(kernels.latent_sum(code.values, order), dense.sum(1))


def test_training_fires_k_latents_a_sample_in_the_mean_and_not_in_each(monkeypatch):
    params, x = random_params(SAE), data()
    params["b_enc"] += 5  # so that all k B values are positive
    seen, plain = [], batchtopk.sparse_gradients

    def spy(params, x, code, step):
        seen.append(code.dense(M))
        return plain(params, x, code, step)

    monkeypatch.setattr(batchtopk, "sparse_gradients", spy)
    got = SAE.gradients(params, x, Step(NOBODY, 0.0))
    assert ((seen[0] > 0).sum((1, 2)) == K * B).all()
    assert ((seen[0] > 0).sum(2) != K).any()
    assert torch.equal(got.fired, (seen[0] > 0).any(1))


def test_the_threshold_is_a_running_mean_of_the_smallest_value_that_fires():
    params, x = random_params(SAE), data()
    params["threshold"] = torch.tensor([0.5, 1.0, 2.0]).double()
    pre = (x - params["b_dec"][:, None]) @ params["w_enc"].mT + params["b_enc"][:, None]
    kept = torch.stack([keep(p, K) for p in pre])
    low = torch.where(kept > 0, kept, torch.inf).amin((1, 2))
    first = SAE.gradients(params, x, Step(NOBODY, 0.0, training_done=0.0)).buffers["threshold"]
    torch.testing.assert_close(first, low)
    later = SAE.gradients(
        params, x, Step(NOBODY, 0.0, training_done=0.5, step_fraction=0.002)
    ).buffers
    torch.testing.assert_close(later["threshold"], 0.9 * params["threshold"] + 0.1 * low)
    params["b_enc"] -= 1e9
    silent = SAE.gradients(params, x, Step(NOBODY, 0.0)).buffers["threshold"]
    assert torch.equal(silent, params["threshold"])


def test_encoding_is_by_the_threshold_and_by_no_other_sample():
    params, x = random_params(SAE), data()
    params["threshold"] = torch.tensor([0.5, 1.0, 2.0]).double()
    pre = (x - params["b_dec"][:, None]) @ params["w_enc"].mT + params["b_enc"][:, None]
    z = SAE.encode(params, x).values
    torch.testing.assert_close(z, pre * (pre > params["threshold"][:, None, None]))
    torch.testing.assert_close(SAE.encode(params, x[:, 4:5]).values, z[:, 4:5])


def test_one_seed_cannot_notice_another():
    dead = NOBODY.clone()
    dead[0, :4] = dead[1, :10] = dead[2, 3] = True
    for factor in (0, 1e9):  # ragged and dense
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(batchtopk, "DENSE_BELOW", factor)
            variants.assert_apart(SAE, dead)
            variants.assert_untouched(SAE, dead)


def test_auxk_moves_dead_rows_alone():
    variants.assert_auxk_moves_dead_rows_alone(SAE, random_params(SAE))


def test_a_bfloat16_encoder_chooses_and_float32_computes(monkeypatch):
    params, x = {n: p.float() for n, p in random_params(SAE).items()}, data(b=1000).float()
    seen, plain = [], batchtopk.sparse_gradients

    def spy(params, x, code, step):
        seen.append(code.dense(M))
        return plain(params, x, code, step)

    monkeypatch.setattr(batchtopk, "sparse_gradients", spy)
    for half in (False, True):
        SAE.gradients(params, x, Step(NOBODY, 0.0, bfloat16_selection=half))
    exact, half = seen
    agree = (exact > 0) == (half > 0)
    assert 0 < (~agree).sum() < 0.01 * (exact > 0).sum()
    torch.testing.assert_close(half[agree], exact[agree], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("k", [2, 4])
def test_a_trained_threshold_has_the_l0_asked_and_is_saved(tmp_path, k):
    """Within 5% on held-out samples."""
    stack = variants.trained("batchtopk", k)
    assert (variants.l0(stack) / k - 1).abs().max() < 0.05
    stack.save(tmp_path / "sae.safetensors")
    again = SAEStack.load(tmp_path / "sae.safetensors")
    assert torch.equal(again.params["threshold"], stack.params["threshold"])
    assert (stack.params["threshold"] > 0).all()
    assert len(stack.params["threshold"].unique()) == S
