"""Measures on a tiny language model: against their definitions and against known answers."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from language_models import LAYERS
from scipy.sparse import csr_array

from realdata import scores
from realdata.activations import Activations
from realdata.scores._text import held_out_codes
from realdata.scores.spliced import Ablation, Splice
from realdata.scores.surface import concentration
from synthsae.checks import ConfigError
from synthsae.config import Config, override
from synthsae.config.sources import SourceConfig
from synthsae.evaluation import evaluate, held_out
from synthsae.metrics import latent, reappearance
from synthsae.sae import SAEConfig, SAEStack
from synthsae.scores.needs import lacking
from synthsae.scores.run import Run, run_cell
from synthsae.world import World

WIDTH = 16


@pytest.fixture(scope="module")
def run(
    language_model: Callable[[str], Path], stories: Path, tmp_path_factory: pytest.TempPathFactory
) -> Run:
    return trained(language_model("llama"), stories, tmp_path_factory.mktemp("cache"))


def trained(model: Path, stories: Path, cache: Path, **fields: object) -> Run:
    source = SourceConfig(
        model=str(model),
        layer=1,
        text=str(stories),
        tokens=2400,
        context=16,
        held_out=0.25,
        passes=8.0,
        cache=str(cache),
        device="cpu",
    )
    changes = {"sae.n_latents": 32, "sae.k": 4, "train.batch_size": 64, "train.lr": 0.01}
    changes |= {"n_seeds": 3, "eval_samples": 500, **fields}
    return run_cell(override(Config(source=source, eval_samples=500), changes))


def reader(run: Run) -> Activations:
    assert isinstance(run.source, Activations)
    return run.source


def identity(run: Run) -> Run:
    """The same cell with SAEs that return what they get: latents are +-axes, all of them fire."""
    eye = torch.eye(WIDTH)
    both = torch.cat([eye, -eye]).expand(2, -1, -1).contiguous()
    params = {"w_enc": both, "w_dec": both.clone()}
    params |= {"b_enc": torch.zeros(2, 2 * WIDTH), "b_dec": torch.zeros(2, WIDTH)}
    stack = SAEStack(SAEConfig(arch="relu", n_latents=2 * WIDTH), (0, 1), params)
    seen = evaluate(stack, run.source, run.config.eval_samples)
    return Run(run.config, run.source, (0, 1), {}, seen, 1, stack)


def test_identity_changes_nothing(run: Run) -> None:
    ds = scores.spliced_loss(identity(run))
    np.testing.assert_allclose(ds.ce_spliced, ds.ce_clean, rtol=1e-5)
    np.testing.assert_allclose(ds.loss_recovered, 1, atol=1e-4)
    assert abs(float(ds.ce_zero - ds.ce_clean)) > 0.01


def test_losses_are_those_of_the_model(run: Run) -> None:
    """Zeros and reconstructions go in at the positions harvested, and nowhere else."""
    source, ds = reader(run), scores.spliced_loss(run, contexts=10_000)
    tokens = torch.from_numpy(np.array(source.contexts("eval")))
    kept = np.zeros(tokens.shape, dtype=bool)
    kept[source.places(np.arange(source.n_eval))] = True
    assert not kept[:, 0].any()  # BOS
    assert float(ds.ce_clean) == pytest.approx(float(source.model.loss(tokens).mean()), rel=1e-5)
    on = torch.from_numpy(kept)[..., None]
    zero = source.model.loss(tokens, lambda x: x * ~on).mean()
    assert float(ds.ce_zero) == pytest.approx(float(zero), rel=1e-5)
    for s in range(3):
        one = run.stack.select([s])

        def through(x: torch.Tensor, one: SAEStack = one) -> torch.Tensor:
            flat = source.normal.apply(x.reshape(-1, WIDTH))
            made = source.normal.undo(one.decode(one.encode(flat))[0]).reshape(x.shape)
            return torch.where(on, made, x)

        spliced = float(source.model.loss(tokens, through).mean())
        assert float(ds.ce_spliced[s]) == pytest.approx(spliced, rel=1e-5)
        share = (zero - spliced) / (zero - ds.ce_clean.item())
        assert float(ds.loss_recovered[s]) == pytest.approx(float(share), rel=1e-4)


def test_masking_everything_is_the_bias_alone(run: Run) -> None:
    splice, source = Splice.of(reader(run), 10), reader(run)
    sae = run.stack.select([0])
    whole, nothing = Ablation(0, frozenset()), Ablation(0, frozenset(range(32)))
    found, bias = splice.losses(sae, [nothing, whole]), sae.params["b_dec"][0]

    def biased(x: torch.Tensor) -> torch.Tensor:
        return torch.where(splice.replaced[..., None], source.normal.undo(bias), x)

    want = source.model.loss(splice.tokens, biased).double().mean()
    assert found.loss[0] == pytest.approx(float(want))
    drawn = splice.tokens.numpy()
    chosen = (source.contexts("eval")[:, None] == drawn).all(axis=2).any(axis=1)
    rows = np.flatnonzero(chosen[source.places(np.arange(source.n_eval))[0]])
    x = source.read(rows).double().numpy()
    ev = 1 - ((x - bias.numpy()) ** 2).sum() / ((x - x.mean(0)) ** 2).sum()
    assert found.ev[0] == pytest.approx(ev, abs=1e-5)
    assert found.ev[1] > found.ev[0]


@pytest.mark.parametrize("batch", [7, 32, 100])
def test_losses_are_those_of_whole_passes(run: Run, batch: int) -> None:
    """However many contexts and ablations are in one pass; the SAE is run as a SAE is."""
    source = reader(run)
    config = replace(source.source, batch=batch)
    other = Activations(config, source.splits, source.statistics, source.manifest)
    splice, rng = Splice.of(other, 20), np.random.default_rng(0)
    ablations = [Ablation(s, frozenset(rng.permutation(32)[:n])) for s in (0, 2) for n in (0, 3, 9)]
    found = splice.losses(run.stack, ablations)
    on = splice.replaced[..., None]
    assert found.clean == pytest.approx(float(source.model.loss(splice.tokens).mean()), abs=1e-6)
    zero = source.model.loss(splice.tokens, lambda x: x * ~on)
    assert found.zero == pytest.approx(float(zero.mean()), abs=1e-6)
    for (s, latents), loss in zip(ablations, found.loss, strict=True):
        sae = run.stack.select([s])
        sae.params["w_dec"] = sae.params["w_dec"].clone()
        sae.params["w_dec"][:, sorted(latents)] = 0

        def through(x: torch.Tensor, sae: SAEStack = sae) -> torch.Tensor:
            made = sae.decode(sae.encode(source.normal.apply(x.reshape(-1, WIDTH))))[0]
            return torch.where(on, source.normal.undo(made).reshape(x.shape), x)

        whole = source.model.loss(splice.tokens, through).double().mean()
        assert loss == pytest.approx(float(whole), abs=1e-6)
    assert len(set(found.loss)) == len(ablations)


def test_the_cost_is_said_before_it_starts(run: Run, capsys: pytest.CaptureFixture) -> None:
    ds = scores.spliced_loss(run, contexts=9)
    lines = capsys.readouterr().err.splitlines()
    (said,) = [line for line in lines if " passes over " in line]
    found = re.fullmatch(r"spliced_loss: (\d+) passes over 9 contexts of 16 tokens", said)
    assert found is not None
    zeroed = ds[["masked_ev", "matched_ev"]].isel(zeroed=slice(1, None)).notnull().sum()
    assert int(found[1]) <= 2 + 3 + int(zeroed.masked_ev + zeroed.matched_ev)


def test_masked_loss_grows_from_zero(run: Run) -> None:
    ds = scores.spliced_loss(run)
    first = ds.isel(zeroed=0)
    for name in ("masked_loss", "matched_loss", "masked_ev", "matched_ev"):
        assert (first[name] == 0).all()
    label = reappearance.labels(run.p_hat)
    for s in range(3):
        for kind in ds.masked_class.values:
            n = (label[s] == kind).sum()
            there = ds.masked_ev.sel(masked_class=kind)[s].notnull().values
            assert there.tolist() == [round(x * 32) <= n for x in ds.zeroed.values]


def test_concentration() -> None:
    codes = csr_array(np.array([[1.0, 0, 2], [3, 0, 0], [4, 0, 0], [0, 0, 2]]))
    score = concentration(codes, np.array([0, 1, 1, 2]))
    np.testing.assert_allclose(score, [7 / 8, np.nan, 0.5])


def test_surface_form_by_hand(run: Run) -> None:
    """From dense codes in the order of `evaluation.held_out`, a dictionary for the strings."""
    ds, source = scores.surface_form(run), reader(run)
    stack, m = run.stack, run.live.shape[1]
    parts = [stack.encode(held.x).dense(m) for held in held_out(source, 500, stack=stack)]
    dense = np.concatenate([z.numpy() for z in parts], axis=1)
    rows, codes = held_out_codes(run, source)
    for s, z in enumerate(codes):
        np.testing.assert_allclose(z.toarray(), dense[s], rtol=1e-6)
    words = source.model.tokenizer.convert_ids_to_tokens(source.tokens(rows).tolist())
    label, rng = reappearance.labels(run.p_hat), np.random.default_rng(0)
    ids = source.tokens(rows).astype(np.int64)
    over = []
    for s in range(3):
        mixed = np.mean([concentration(codes[s], rng.permutation(ids)) for _ in range(40)], axis=0)
        means: dict[str, list[float]] = {}
        for m in np.flatnonzero(run.live[s]):
            mass: dict[str, float] = {}
            for word, value in zip(words, dense[s, :, m], strict=True):
                mass[word] = mass.get(word, 0.0) + float(value)
            means.setdefault(label[s, m], []).append(max(mass.values()) / sum(mass.values()))
        for name, values in means.items():
            found = float(ds.surface_form.sel(label=name)[s])
            assert found == pytest.approx(np.mean(values), rel=1e-5)
            null = float(ds.surface_form_null.sel(label=name)[s])
            assert null == pytest.approx(np.nanmean(mixed[label[s] == name]), abs=0.025)
            over.append(found - null)
    assert max(over) > 0.05


def test_a_latent_of_one_token_is_concentrated(run: Run) -> None:
    """Codes that follow the token score 1; the null does not."""
    source = reader(run)
    rows = np.arange(400)
    ids = source.tokens(rows)
    codes = csr_array((ids == ids[0])[:, None].astype(float))
    assert concentration(codes, ids.astype(np.int64))[0] == 1
    mixed = np.random.default_rng(0).permutation(ids).astype(np.int64)
    assert concentration(codes, mixed)[0] < 0.5


def test_matched_contexts(run: Run) -> None:
    ds, source = scores.matched_contexts(run), reader(run)
    assert list(ds.pair.values)[:4] == [f"best {i}" for i in range(1, 5)]
    cosine = np.sort(latent.matched_cosines(*(run.directions[s, run.live[s]] for s in (0, 1))))
    np.testing.assert_allclose(ds.pair_cosine[:4], cosine[::-1][:4])
    rows, codes = held_out_codes(run, source)
    for p in range(8):
        ids = ds.pair_latent[p].values
        a, b = (run.directions[s, ids[s]] for s in (0, 1))
        assert float(ds.pair_cosine[p]) == pytest.approx(a @ b)
        for s in (0, 1):
            z = codes[s].toarray()[:, ids[s]]
            assert float(ds.pair_rate[p, s]) == pytest.approx((z > 0).mean())
            word = source.model.tokenizer.decode([int(source.tokens(rows[[z.argmax()]])[0])])
            assert f"[{word.strip()}]" in str(ds.pair_context[p, s, 0].values)
        both = [codes[s].toarray()[:, ids[s]] for s in (0, 1)]
        assert float(ds.pair_correlation[p]) == pytest.approx(np.corrcoef(both)[0, 1])


def test_without_text_there_is_nothing_to_measure(run: Run) -> None:
    for measure in (scores.surface_form, scores.spliced_loss, scores.matched_contexts):
        assert lacking(measure, Config()) == ["tokens"]
        assert lacking(measure, run.config) == []
        with pytest.raises(ConfigError) as error:
            measure(replace(run, source=World.plant(run.config.world, seed=0)))
        assert (error.value.field, error.value.value) == ("source", "World")


def test_fewer_pairs_than_are_shown(run: Run) -> None:
    """As many as there are; the others are empty."""
    live = run.live.copy()
    live[0, np.flatnonzero(live[0])[5:]] = False
    few = replace(run)
    vars(few)["live"] = live  # in place of the cached property
    ds, whole = scores.matched_contexts(few), scores.matched_contexts(run)
    assert dict(ds.sizes) == dict(whole.sizes)
    assert ds.pair_cosine.notnull().sum() == 5
    assert (ds.pair_latent >= 0).all("side").equals(ds.pair_cosine.notnull())
    assert (ds.pair_context != "").any("top").all("side")[0]
    assert (ds.pair_context.isel(pair=-1) == "").all()
    with pytest.raises(ValueError, match="stack: None"):
        scores.surface_form(replace(run, stack=None))


@pytest.mark.slow
def test_other_architectures_and_models(
    language_model: Callable[[str], Path], stories: Path, tmp_path: Path
) -> None:
    for kind, arch in (("gpt2", "relu"), ("gemma2", "kron")):
        other = trained(language_model(kind), stories, tmp_path, **{"sae.arch": arch})
        assert other.config.source.layer < LAYERS
        ds = scores.surface_form(other).merge(scores.spliced_loss(other))
        assert ds.loss_recovered.notnull().all()
