"""atoms_sweep: its measure against an independent computation, and the whole of it in small."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from synthsae.studies.atoms_sweep.figure import atoms_by_latents, atoms_by_scarcity
from synthsae.studies.atoms_sweep.scores import atom_recovery

import synthsae
from synthsae.config import Config
from synthsae.evaluation import Evaluation
from synthsae.sae import SAEConfig
from synthsae.scores.needs import lacking
from synthsae.scores.run import Run
from synthsae.stats import mean_interval
from synthsae.study import cli
from synthsae.theory import cap_measure, welch_bound
from synthsae.world import World, WorldConfig

TINY = {
    "world.rank": "2,3",
    "world.n_atoms": "4",
    "sae.n_latents": "8,24",
    "train.n_steps": "10,40",
    "world_seed": "0",
    "train.batch_size": "64",
    "eval_samples": "500",
}


def run_with(latents: np.ndarray, world: WorldConfig) -> Run:
    """Two seeds with the same live `latents` [M, D]."""
    d = np.stack([latents] * 2)
    config = Config(world=world, sae=SAEConfig(n_latents=d.shape[1], k=2), n_seeds=2)
    evaluation = Evaluation(d, np.full(d.shape[:2], 0.1), np.ones(2))
    return Run(config, World.plant(world, seed=0), (0, 1), {}, evaluation)


def test_atoms_found_counts_latents_of_their_own() -> None:
    c = WorldConfig(d_model=12, n_isolated=0, n_blocks=2, rank=4, law="sparse")
    atoms = World.plant(c, seed=0).atoms
    got = atom_recovery(run_with(np.r_[atoms[0], atoms[1, :2], -atoms[1, 2:]], c))
    assert np.allclose(got.atoms_found, [1, 0.5])  # an opposite is no match
    got = atom_recovery(run_with(np.r_[atoms[0, [0, 0, 0]], atoms[1]], c))
    assert np.allclose(got.atoms_found, [0.25, 1])  # nor is a copy
    blunt = 0.88 * atoms[0] + (1 - 0.88**2) ** 0.5 * atoms[1]
    assert np.allclose(atom_recovery(run_with(blunt, c)).atoms_found, 0)


def test_coherence_and_its_bound() -> None:
    c = WorldConfig(d_model=12, n_isolated=0, n_blocks=2, rank=3, law="sparse", n_atoms=6)
    atoms = World.plant(c, seed=0).atoms
    got = atom_recovery(run_with(np.eye(12), c))
    for g in range(2):
        pairs = [atoms[g, i] @ atoms[g, j] for i in range(6) for j in range(i)]
        assert got.coherence[g] == pytest.approx(max(pairs))
        assert np.abs(pairs).max() >= got.coherence_bound
    assert got.coherence_bound == pytest.approx(welch_bound(6, 3))


def test_chance_bounds_what_random_latents_find() -> None:
    c = WorldConfig(d_model=4, n_isolated=0, n_blocks=1, rank=4, law="sparse", n_atoms=4)
    rng, found = np.random.default_rng(0), []
    for _ in range(300):
        d = rng.standard_normal((8, 4))
        d /= np.linalg.norm(d, axis=1, keepdims=True)
        got = atom_recovery(run_with(d, c))
        found.append(float(got.atoms_found.mean()))
        assert np.allclose(got.atoms_found_chance, 8 * cap_measure(4, 0.9))
    error = np.std(found) / 300**0.5
    assert np.mean(found) <= 8 * cap_measure(4, 0.9) + 3 * error
    assert np.mean(found) >= 0.7 * 8 * cap_measure(4, 0.9)  # few latents are shared


def test_other_laws_have_no_atoms() -> None:
    c = WorldConfig(d_model=12, n_isolated=0, n_blocks=2, rank=3)
    assert lacking(atom_recovery, run_with(np.eye(12), c).config) == ["atoms"]


@pytest.fixture
def ds() -> xr.Dataset:
    """Atoms found tells its setting: latents, steps and rank are digits, worlds differ by .02."""
    axes = {"rank": [2, 6], "n_atoms": [6, 12], "n_latents": [18, 72], "n_steps": [50, 600]}
    digits = dict(zip(axes, (0.1, 0.2, 0.05, 0.03), strict=True))
    found = xr.DataArray([0.49, 0.51], dims="world_seed") * xr.ones_like(
        xr.DataArray(np.ones((2, 3)), dims=("seed", "block"))
    )
    for name, digit in digits.items():
        found = found + xr.DataArray([-digit, digit], {name: axes[name]}, (name,))
    return xr.Dataset({"atoms_found": found, "atoms_found_chance": 0 * found + 0.2}).assign(
        coherence=0 * found.mean("seed") + 0.5
    )


def test_a_panel_varies_one_thing_and_the_rest_is_plenty(ds: xr.Dataset) -> None:
    figure = atoms_by_scarcity(ds.isel(n_steps=[1, 0]))  # any order of an axis
    assert figure.get_suptitle() == (
        "Of 12 atoms a block 88% are found where all is plenty,\n"
        "78% with few latents, 82% with few samples, 68% with few dimensions"
    )
    want = {"latents": [0.78, 0.88], "steps": [0.82, 0.88], "rank": [0.68, 0.88]}
    for ax, values in zip(figure.axes, want.values(), strict=True):
        (twelve,) = (c for c in ax.containers if c.get_label() == "12 atoms a block")
        assert np.allclose(twelve[0].get_ydata(), values)
        ends = np.array([segment[:, 1] for segment in twelve[2][0].get_segments()])
        each = [mean_interval([v - 0.01, v + 0.01]) for v in values]
        assert np.allclose(ends, [(max(i.low, 0), min(i.high, 1)) for i in each])
        (chance,) = (x for x in ax.lines if x.get_label() == "random latents: at most")
        assert np.allclose(chance.get_ydata(), 0.2)


def test_the_supplement_has_every_setting(ds: xr.Dataset) -> None:
    for ax, rank in zip(atoms_by_latents(ds).axes, ds["rank"].values, strict=True):
        for drawn in ax.containers:
            m, steps = (int(word) for word in drawn.get_label().split() if word.isdigit())
            mean = ds.atoms_found.sel(rank=rank, n_atoms=m, n_steps=steps)
            mean = mean.mean(("world_seed", "seed", "block"))
            assert np.allclose(drawn[0].get_ydata(), mean)


@pytest.mark.slow
def test_whole_study_in_small(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    sets = [x for f, v in TINY.items() for x in ("--set", f"{f}={v}")]
    assert cli.main(["atoms_sweep", "--out", str(tmp_path), *sets]) == 0
    ds = synthsae.open_results("atoms_sweep", tmp_path)
    dims = ("rank", "n_atoms", "n_latents", "n_steps", "world_seed", "seed", "block")
    assert ds.atoms_found.dims == dims
    assert np.isfinite(ds.atoms_found).all()
    assert "of the atoms get a latent of their own" in capsys.readouterr().out
    assert (tmp_path / "atoms_sweep" / "atoms_sweep.png").stat().st_size > 1000
