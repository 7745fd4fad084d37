"""The report before training: every rule, its numbers, and configs read by attribute only."""

import doctest
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from synthsae import theory
from synthsae.checks import ConfigError
from synthsae.sae import SAEConfig


@dataclass(frozen=True)
class Plan:
    d_model: int = 64
    n_isolated: int = 20
    isolated_p: float = 0.1
    leaning: bool = False
    n_blocks: int = 5
    rank: int = 4
    law: str = "isotropic"
    block_p: float = 0.2
    block_angle: float = 90.0
    blocks_per_gate: int = 1
    spectrum: float = 1.0
    n_atoms: int | None = None
    beta: float = 1.0


SAE = SAEConfig(n_latents=120, k=6)  # (120 - 20) / 5 = 20 latents left per block


def report(sae: SimpleNamespace = SAE, n_samples: float = np.inf, **changes) -> theory.BlockReport:
    rows = theory.identifiability_report(replace(Plan(), **changes), sae, n_samples=n_samples)
    assert [r.block for r in rows] == list(range(len(rows)))
    return rows[0]


@pytest.mark.parametrize(
    ("changes", "latents", "verdict", "why"),
    [
        ({}, 120, "subspace only", "invariant"),
        ({"law": "gaussian"}, 120, "subspace only", "invariant"),
        ({"law": "generalised_normal", "beta": 2.0}, 120, "subspace only", "invariant"),
        ({"law": "gaussian", "spectrum": 3.0}, 120, "subspace only", "principal axes"),
        ({"block_angle": 60.0}, 120, "subspace only", "blocks meet at 60 degrees"),
        ({"law": "gaussian", "blocks_per_gate": 5}, 120, "subspace only", "one of rank 20"),
        ({"blocks_per_gate": 5}, 120, "subspace only", "radii decide"),
        ({"blocks_per_gate": 5, "rank": 1}, 120, "subspace only", "radii decide"),
        ({"rank": 1}, 120, "latents identifiable", "opposite"),
        ({"rank": 1}, 29, "lost", "1.8 latents left, 2 reach"),
        ({}, 44, "lost", "4.8 latents left, 5 reach all of rank 4"),
        ({}, 45, "subspace only", "invariant"),
        ({}, 10, "lost", "0 latents left"),
        ({"block_p": 0.0}, 120, "lost", "active in 0 samples"),
        ({"law": "sparse"}, 120, "latents identifiable", "4 atoms"),
        ({"law": "sparse"}, 40, "latents identifiable", "4 atoms"),
        ({"law": "sparse"}, 39, "lost", "3.8 latents left, 4 reach"),
        ({"law": "sparse", "n_atoms": 8}, 59, "subspace only", "7.8 latents left for 8 atoms"),
        ({"law": "sparse", "n_atoms": 8}, 44, "lost", "4.8 latents left, 5 reach"),
        (
            {"law": "sparse", "rank": 2, "n_atoms": 18},
            120,
            "latents identifiable",
            "codes of 1 unique",
        ),
        ({"law": "sparse", "rank": 1, "n_atoms": 3}, 120, "subspace only", "coherence"),
        ({"law": "generalised_normal"}, 120, "latents identifiable", "axes are the sparsest"),
        ({"law": "generalised_normal"}, 55, "subspace only", "7 latents left for 8 half-axes"),
        ({"law": "generalised_normal", "beta": 8.0}, 120, "subspace only", "leaves the true axes"),
    ],
)
def test_rules(changes: dict, latents: int, verdict: str, why: str) -> None:
    row = report(SAEConfig(n_latents=latents, k=6), **changes)
    assert row.verdict == verdict
    assert why in row.why


def test_without_binding_sparsity_the_axes_are_not_identifiable() -> None:
    law = {"law": "generalised_normal", "beta": 1.0}
    slack = report(SAEConfig(n_latents=120, k=60), **law)
    assert slack.binding == 0  # 5 blocks of 4 and 20 features are 40 latents at most
    assert slack.verdict == "subspace only"
    assert np.isnan(slack.reappearance)


def test_binding_is_the_share_of_samples_that_need_more_than_k() -> None:
    rng = np.random.default_rng(0)
    need = 4 * (1 + rng.binomial(4, 0.2, 100_000)) + rng.binomial(20, 0.1, 100_000)
    for k in (3, 6, 9, 14):
        share = (need > k).mean()
        mine = report(SAEConfig(n_latents=120, k=k)).binding
        assert abs(mine - share) <= 4 * np.sqrt(share * (1 - share) / 100_000) + 1e-12
    assert np.isnan(report(law="sparse").binding)


def test_binding_counts_the_blocks_of_a_gate_together() -> None:
    rng = np.random.default_rng(0)
    need = 2 * 3 * (1 + rng.binomial(2, 0.2, 100_000)) + rng.binomial(20, 0.1, 100_000)
    for k in (6, 9, 14):
        share = (need > k).mean()
        mine = report(SAEConfig(n_latents=120, k=k), n_blocks=6, blocks_per_gate=2, rank=3).binding
        assert abs(mine - share) <= 4 * np.sqrt(share * (1 - share) / 100_000) + 1e-12


def test_blocks_that_are_not_separate() -> None:
    joint = report(law="gaussian", blocks_per_gate=5)
    assert joint.reappearance == pytest.approx(float(theory.coverage_a_priori(20, 100)))
    line = report(law="gaussian", blocks_per_gate=5, rank=1)  # a block of rank 5 in truth
    assert (line.verdict, line.reappearance) == ("subspace only", joint_of(5, 100))
    assert np.isnan(report(block_angle=60.0).reappearance)
    assert np.isnan(report(block_angle=60.0, law="sparse").reappearance)


def joint_of(rank: int, latents: float) -> float:
    return pytest.approx(float(theory.coverage_a_priori(rank, latents)))


def test_numbers() -> None:
    row = report(rank=8)
    assert row.latents_left == 20
    assert row.reappearance == pytest.approx(float(theory.coverage_a_priori(8, 20)))
    assert row.chance == pytest.approx(float(theory.chance_found(64, 120, 0.7)))
    short = report(SAEConfig(n_latents=70, k=6), rank=8)  # 10 left: fewer than 2R
    assert short.reappearance == pytest.approx(10 * float(theory.cap_measure(8, 0.7)))
    assert report(law="sparse").reappearance == 1
    assert np.isnan(report(law="sparse", n_atoms=8).reappearance)
    assert np.isnan(report(law="generalised_normal", beta=8.0).reappearance)


def test_samples() -> None:
    assert report(n_samples=19).verdict == "lost"  # 3.8 active samples of a rank-4 block
    assert report(n_samples=20).verdict == "subspace only"


def test_the_reason_mentions_leaning_features() -> None:
    assert "lean" in report(leaning=True).why
    assert "lean" not in report().why
    assert "lean" not in report(leaning=True, law="sparse").why


def test_a_planted_world_and_a_world_without_blocks() -> None:
    wrapped = SimpleNamespace(config=Plan())
    assert theory.identifiability_report(wrapped, SAE) == theory.identifiability_report(Plan(), SAE)
    assert theory.identifiability_report(replace(Plan(), n_blocks=0), SAE) == ()


def test_bad_input() -> None:
    with pytest.raises(ConfigError) as error:
        report(n_samples=0)
    assert (error.value.field, error.value.allowed) == ("n_samples", "above 0")
    with pytest.raises(ConfigError) as error:
        theory.identifiability_report(Plan(), SAE, theta=1.5)
    assert error.value.field == "theta"


def test_the_example_of_the_documentation_runs() -> None:
    page = Path(theory.__file__).parent / "README.md"
    result = doctest.testfile(str(page), module_relative=False)
    assert result.attempted == 4
    assert result.failed == 0
