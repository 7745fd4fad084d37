"""synthsaebench: the published scores against loops over samples, and the whole of it in small."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment
from synthsae.studies.synthsaebench.figure import SCORES, scores_by_k
from synthsae.studies.synthsaebench.scores import benchmark_scores
from synthsae.studies.synthsaebench.study import finding

import synthsae
from synthsae.config import override
from synthsae.scores.run import Run, run_cell
from synthsae.study import cli
from synthsae.world import PRESETS

TINY = {
    "world.d_model": "24",
    "world.n_isolated": "60",
    "world.n_trees": "2",
    "world.tree_depth": "2",
    "sae.n_latents": "20",
    "sae.k": "3",
    "train.n_steps": "40",
    "train.batch_size": "64",
    "n_seeds": "3",
    "eval_samples": "4500",
}


@pytest.fixture(scope="module", params=["topk", "batchtopk"])
def run(request) -> Run:
    changes = TINY | {"sae.arch": request.param, "sae.n_latents": "70"}
    return run_cell(override(cli.load("synthsaebench").base, changes))


def test_scores_by_hand(run: Run) -> None:
    got = benchmark_scores(run)
    at = dict(seed=0, stream="eval")
    x = torch.cat([run.world.batch(t, 4096, **at) for t in range(2)])[:4500]
    truth = np.concatenate([run.world.magnitudes(t, 4096, **at).numpy() for t in range(2)])[:4500]
    code = run.stack.encode(x)
    z, x_hat = code.dense(70).numpy(), run.stack.decode(code).numpy()
    assert got.true_l0 == pytest.approx((truth > 0).sum() / 4500)
    for s in range(3):
        c = np.abs(run.directions[s] @ run.world.features.T)
        assert got.bench_mcc[s] == pytest.approx(c[linear_sum_assignment(-c)].mean())
        nearest = [max(range(60), key=lambda i, row=row: row[i]) for row in c]
        assert got.bench_uniqueness[s] == len(set(nearest)) / 70
        precision, recall, f1, accuracy = [], [], [], []
        for j, i in enumerate(nearest):
            fires, there = z[s, :, j] > 0, truth[:, i] > 0
            both = (fires & there).sum()
            p = both / fires.sum() if fires.any() else 0
            r = both / there.sum() if there.any() else 0
            precision.append(p)
            recall.append(r)
            f1.append(2 * p * r / (p + r) if p + r else 0)
            accuracy.append((fires == there).mean())
        assert got.bench_precision[s] == pytest.approx(np.mean(precision))
        assert got.bench_recall[s] == pytest.approx(np.mean(recall))
        assert got.bench_f1[s] == pytest.approx(np.mean(f1))
        assert got.bench_accuracy[s] == pytest.approx(np.mean(accuracy))
        assert got.bench_dead[s] == (z[s] == 0).all(axis=0).sum()
        ratio = np.linalg.norm(x_hat[s], axis=1) / np.linalg.norm(x.numpy(), axis=1)
        assert got.bench_shrinkage[s] == pytest.approx(ratio.mean(), rel=1e-4)


def test_base_is_the_preset() -> None:
    base = cli.load("synthsaebench").base
    assert base.world == PRESETS["synthsaebench_1k"]
    assert base.sae.size * 4 == base.world.n_isolated


def test_the_command_for_the_full_one_gives_its_preset() -> None:
    lines = cli.load("synthsaebench"), Path("studies/synthsaebench/study.py")
    text = (Path(__file__).parents[2] / lines[1]).read_text().split('"""')[1]
    words = text[text.index("python -m") :].split("Other")[0].replace("\\", " ").split()
    changes = dict(word.split("=", 1) for word in words if "=" in word)
    changes.pop("sae.k")
    full = override(lines[0].base, changes)
    assert full.world == PRESETS["synthsaebench_16k"]
    assert full.train.n_samples == pytest.approx(200e6, rel=0.01)


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    changes = TINY | {"sae.k": "2,5"}
    sets = [x for f, v in changes.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["synthsaebench", "--out", str(tmp_path), *sets]) == 0
    ds = synthsae.open_results("synthsaebench", tmp_path)
    assert "F1 is best at k" in capsys.readouterr().out
    means = ds.mean("seed")
    best = int(ds.k[int(means.bench_f1.values.argmax())])
    found = finding(ds)
    assert found.table is not None
    assert found.values["k"] == best
    assert found.values["k_ev"] == int(ds.k[int(means.explained_variance.values.argmax())])
    assert np.allclose(found.table.precision, means.bench_precision)
    assert (tmp_path / "synthsaebench" / "synthsaebench.png").stat().st_size > 1000
    twice = ds.expand_dims(arch=["topk", "relu"])
    table = finding(twice).table
    assert table is not None
    assert table.arch.tolist() == ["topk"] * 2 + ["relu"] * 2
    figure = scores_by_k(twice)
    assert len(figure.axes) == 4
    for bars, (name, *_) in zip(figure.axes[0].containers, SCORES, strict=True):
        assert np.allclose(bars[0].get_ydata(), means[name])
    assert np.allclose(figure.axes[1].containers[0][0].get_ydata(), means.live_reappearance)
    (chance,) = [x for x in figure.axes[1].lines if x.get_label() == "p_hat at chance"]
    assert figure.axes[1].get_ylim()[0] < min(chance.get_ydata()) - 0.02  # not on the edge
    plt.close(figure)
