"""The labelled lists of a consensus, their file, and what each latent contributes."""

import json
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from planted_seeds import trained
from safetensors import safe_open
from safetensors.numpy import save_file

import synthsae
from synthsae.checks import ConfigError
from synthsae.evaluation import latent_energy
from synthsae.geometry import unit
from synthsae.metrics import consensus as plain
from synthsae.sae import SAEConfig, SAEStack
from synthsae.seeds.consensus_file import NEEDED
from synthsae.stats import mean_interval, pairwise_interval
from synthsae.world import World, WorldConfig


@pytest.fixture(scope="module")
def seen() -> dict[str, np.ndarray]:
    """Made-up SAEs with a feature that one seed lacks, and rates and energies to tell them by."""
    rng = np.random.default_rng(0)
    x, features, _ = trained(rng, rank=3)
    live = np.ones(x.shape[:2], dtype=bool)
    live[2, (x[2] @ features[1]).argmax()] = False
    energy = rng.random(x.shape[:2])
    return {"directions": x, "live": live, "rates": rng.random(x.shape[:2]), "energy": energy}


@pytest.fixture(scope="module")
def ds(seen: dict[str, np.ndarray]) -> xr.Dataset:
    return synthsae.consensus(**seen, seeds=range(5, 11))


def test_lists_are_those_of_the_metric(seen: dict[str, np.ndarray], ds: xr.Dataset) -> None:
    found = plain.consensus(seen["directions"], seen["live"])
    assert ds.sizes["identity"] == (found.identity_q <= 0.05).sum() == 6
    assert ds.sizes["subspace"] == (found.subspace_q <= 0.05).sum() == 3
    assert np.array_equal(ds.identity_latent, found.identities.latents[:6])
    assert np.array_equal(ds.identity_q, found.identity_q[:6])
    assert ds.seed.values.tolist() == list(range(5, 11))
    for g, space in enumerate(found.subspaces):
        assert np.array_equal(ds.subspace_basis[g], space.span.T)
        assert np.array_equal(ds.subspace_member[g], space.members)
        assert ds.subspace_rank_low[g] <= ds.subspace_rank[g] <= ds.subspace_rank_high[g]
    assert np.array_equal(ds.subspace_latents, ds.subspace_member.sum("latent"))
    with pytest.raises(ConfigError) as caught:
        synthsae.consensus(seen["directions"], level=1)
    assert (caught.value.field, caught.value.value) == ("level", 1)


def test_numbers_of_an_identity_by_hand(seen: dict[str, np.ndarray], ds: xr.Dataset) -> None:
    x, rates, energy = seen["directions"], seen["rates"], np.where(seen["live"], seen["energy"], 0)
    assert sorted(ds.identity_found.values) == [5, 6, 6, 6, 6, 6]
    for i, row in enumerate(ds.identity_latent.values):
        at = np.flatnonzero(row >= 0)
        rows = x[at, row[at]]
        want = pairwise_interval(rows @ rows.T)
        assert ds.identity_cosine[i] == pytest.approx(float(want.estimate))
        assert ds.identity_cosine_low[i] == pytest.approx(float(want.low))
        mean = rows.mean(axis=0)
        assert np.allclose(ds.identity_direction[i], mean / np.linalg.norm(mean))
        assert np.array_equal(ds.identity_rate[i, at], rates[at, row[at]])
        assert np.isnan(ds.identity_rate[i]).sum() == 6 - len(at)
        share = np.zeros(6)
        share[at] = energy[at, row[at]] / energy.sum(axis=1)[at]
        carried = mean_interval(share)
        assert ds.identity_energy[i] == pytest.approx(float(carried.estimate))
        assert ds.identity_energy_low[i] == pytest.approx(max(0, float(carried.low)))
        assert ds.identity_energy_high[i] == pytest.approx(float(carried.high))


def test_energy_of_a_subspace_is_its_members_share(
    seen: dict[str, np.ndarray], ds: xr.Dataset
) -> None:
    energy = np.where(seen["live"], seen["energy"], 0)
    for g, member in enumerate(ds.subspace_member.values):
        share = [energy[s][member[s]].sum() / energy[s].sum() for s in range(6)]
        assert ds.subspace_energy[g] == pytest.approx(np.mean(share))
    total = float(ds.identity_energy.sum() + ds.subspace_energy.sum())
    assert total == pytest.approx(1)  # every live latent here is on one of the lists
    with pytest.raises(ConfigError) as caught:
        synthsae.consensus(seen["directions"], energy=[1.0, 2.0])
    assert caught.value.field == "energy"
    assert str(caught.value.value) == "shape (2,)"


def test_the_file_holds_all_of_it(tmp_path, ds: xr.Dataset) -> None:
    path = tmp_path / "consensus.safetensors"
    synthsae.save_consensus(ds, path)
    xr.testing.assert_identical(synthsae.load_consensus(path), ds)
    with safe_open(path, framework="pt") as f:  # as another tool would
        basis = f.get_tensor("subspace_1")
        assert basis.shape == (3, ds.sizes["dim"])
        assert torch.allclose(basis @ basis.T, torch.eye(3, dtype=basis.dtype), atol=1e-9)
        assert f.get_tensor("identity_direction").shape == (6, ds.sizes["dim"])


def test_empty_lists_have_a_file_too(tmp_path) -> None:
    empty = synthsae.consensus(np.ones((3, 4, 5)), np.zeros((3, 4), dtype=bool))
    assert empty.sizes["identity"] == empty.sizes["subspace"] == 0
    path = tmp_path / "none.safetensors"
    synthsae.save_consensus(empty, path)
    xr.testing.assert_identical(synthsae.load_consensus(path), empty)


def test_other_files_are_refused(tmp_path) -> None:
    other, text = tmp_path / "other.safetensors", tmp_path / "text"
    save_file({"a": np.zeros(2)}, other)
    text.write_text("no tensors at all")
    for path, word in ((other, "save_consensus"), (text, "safetensors")):
        with pytest.raises(ConfigError) as caught:
            synthsae.load_consensus(path)
        assert (caught.value.field, caught.value.value) == ("path", str(path))
        assert word in caught.value.allowed


@pytest.mark.parametrize("name", sorted(NEEDED))
def test_a_file_without_a_variable_that_all_have_is_refused(name: str, tmp_path) -> None:
    """Found by fuzzing: such a file was read, and could not be written again."""
    path = tmp_path / "consensus.safetensors"
    synthsae.save_consensus(synthsae.consensus(trained(np.random.default_rng(0), 3)[0]), path)
    with safe_open(path, framework="numpy") as f:
        about = json.loads(f.metadata()["synthsae_consensus"])
        arrays = {key: f.get_tensor(key) for key in f.keys()}  # noqa: SIM118
    del about["variables"][name]
    save_file(arrays, path, {"synthsae_consensus": json.dumps(about)})
    with pytest.raises(ConfigError) as error:
        synthsae.load_consensus(path)
    assert error.value.field == "path"
    assert name in error.value.allowed


@pytest.mark.parametrize("arch", ["topk", "relu"])
def test_latent_energy_by_hand(arch: str) -> None:
    world = World.plant(WorldConfig(d_model=12, n_isolated=4, n_blocks=1, rank=2), seed=0)
    stack = SAEStack.init(SAEConfig(arch=arch, n_latents=9, k=3), 12, [0, 1])
    stack.params["w_dec"] *= torch.linspace(0.5, 2, 9)[:, None]
    x = world.batch(0, 4096, seed=0, stream="eval")[:500]
    codes = stack.encode(x).dense(9)
    parts = codes[..., None] * stack.params["w_dec"][:, None]  # [S, B, M, D]
    want = (parts**2).sum(-1).mean(1)
    assert np.allclose(latent_energy(stack, world, 500), want, rtol=1e-4)
    assert want.max() > 0


BASE = np.random.default_rng(0).standard_normal((40, 16))
FOUR = np.stack(
    [BASE + 1e-3 * np.random.default_rng(i).standard_normal((40, 16)) for i in range(4)]
)
FULL = np.full((4, 40), 0.5)


def changed(at: tuple, value: float) -> np.ndarray:
    x = FOUR.copy()
    x[at] = value
    return x


@pytest.mark.parametrize(
    ("field", "arguments"),
    [
        ("directions", {"directions": changed((0, slice(5)), np.nan)}),
        ("directions", {"directions": changed((2, 3, 1), np.inf)}),
        ("directions", {"directions": FOUR + 1j}),
        ("directions", {"directions": FOUR.astype(object)}),
        ("directions", {"directions": FOUR.astype(str)}),
        ("directions", {"directions": np.ma.masked_array(FOUR, FOUR > 2)}),
        ("directions", {"directions": FOUR[0]}),
        ("directions", {"directions": FOUR[:1]}),
        ("directions", {"directions": FOUR[:0]}),
        ("directions", {"directions": FOUR[:, :, :1]}),
        ("directions", {"directions": [FOUR[0], FOUR[1, :9]]}),
        ("directions", {"directions": torch.tensor(FOUR).to_sparse()}),
        ("live", {"live": np.ones((4, 41), bool)}),
        ("live", {"live": np.ones((4, 40))}),
        ("rates", {"rates": np.ones((4, 99))}),
        ("rates", {"rates": np.ones((4, 20))}),
        ("rates", {"rates": np.ones((1, 40))}),
        ("rates", {"rates": np.ones((5, 40))}),
        ("rates", {"rates": FULL * np.nan}),
        ("rates", {"rates": FULL * 3}),
        ("rates", {"rates": -FULL}),
        ("energy", {"energy": np.ones((4, 20))}),
        ("energy", {"energy": -FULL}),
        ("energy", {"energy": FULL * np.inf}),
        ("level", {"level": np.nan}),
        ("level", {"level": "0.9"}),
        ("level", {"level": None}),
        ("level", {"level": [0.9, 0.95]}),
        ("seeds", {"seeds": "abcd"}),
        ("seeds", {"seeds": 4}),
        ("seeds", {"seeds": [0, 1, 2]}),
        ("seeds", {"seeds": [0, 1, 2, 2]}),
        ("seeds", {"seeds": [0, 1, 2, None]}),
        ("seeds", {"seeds": [0, 1, 2, np.nan]}),
        ("seeds", {"seeds": np.eye(4)}),
    ],
)
def test_every_argument_is_checked(field: str, arguments: dict) -> None:
    with pytest.raises(ConfigError) as error:
        synthsae.consensus(**{"directions": FOUR} | arguments)
    assert error.value.field == field
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "same",
    [
        torch.tensor(FOUR),
        torch.tensor(FOUR, requires_grad=True),
        torch.tensor(FOUR).bfloat16(),
        FOUR.astype(np.float16),
        np.round(FOUR * 1e6).astype(np.int32),
        np.ma.masked_array(FOUR),
        1e200 * FOUR,
        1e-200 * FOUR,
        list(FOUR),
    ],
)
def test_directions_of_any_real_type(same: object) -> None:
    found = synthsae.consensus(same)
    assert found.sizes["identity"] == 40
    assert (found.identity_latent == found.identity_latent[:, 0]).all()


@pytest.mark.parametrize("rounded", [None, torch.bfloat16, torch.float16, torch.float32])
def test_a_copy_is_no_evidence(rounded: torch.dtype | None) -> None:
    """Neither rescaled nor rounded; what is named is the pair."""
    x = FOUR.copy()
    copy = 2 * x[1]
    x[3] = torch.tensor(copy).to(rounded).double() if rounded else copy
    with pytest.raises(ConfigError) as error:
        synthsae.consensus(x, seeds=list("abcd"))
    assert error.value.field == "directions"
    assert error.value.value == ["b", "d"]


def test_rows_of_zeros_are_no_latents() -> None:
    """As if they were dead, and neither a copy nor an identity of each other."""
    zero, live = changed((slice(None), 5), 0), np.arange(40) != 5
    xr.testing.assert_identical(
        synthsae.consensus(zero), synthsae.consensus(FOUR, np.tile(live, (4, 1)))
    )
    assert synthsae.consensus(0 * FOUR).sizes["identity"] == 0
    assert synthsae.consensus(FOUR[:, :1]).sizes["identity"] == 1
    assert synthsae.consensus(FOUR[:, :0]).sizes["identity"] == 0


NAMES = [
    list("abcd"),
    np.array(["é", "longer", "", "d"]),
    range(4),
    np.arange(4, dtype=np.int32),
    [np.uint8(3), np.uint8(2), np.uint8(1), np.uint8(0)],
    np.array([0.5, 1.5, 2, 3], dtype=np.float32),
    [2**63, 2**63 + 1, 2**70, -1],
    [1, "one", 1.5, "2"],
    torch.arange(4),
    xr.DataArray(list("abcd"), dims="seed"),
]


@pytest.mark.parametrize("names", NAMES)
def test_names_and_levels_of_any_type_come_back_from_the_file(tmp_path, names) -> None:
    path = tmp_path / "consensus.safetensors"
    made = synthsae.consensus(FOUR, seeds=names, level=np.float32(0.9))
    assert made.seed.values.tolist() == (
        names.tolist() if hasattr(names, "tolist") else list(names)
    )
    assert made.level == float(np.float32(0.9))
    made = made.assign_coords(model=("seed", list("wxyz"))).assign_attrs(scale=np.float32(2))
    synthsae.save_consensus(made, path)
    back = synthsae.load_consensus(path)
    xr.testing.assert_identical(back, made)
    assert {n: v.dtype for n, v in back.variables.items()} == {
        n: v.dtype for n, v in made.variables.items()
    }
    assert [*map(type, back.seed.values.tolist())] == [*map(type, made.seed.values.tolist())]


@pytest.mark.parametrize(
    "level", [Fraction(9, 10), Decimal("0.9"), torch.tensor(0.9, dtype=torch.float64)]
)
def test_a_level_is_any_real_number(level: Any) -> None:
    assert synthsae.consensus(FOUR, level=level).level == 0.9


def test_what_is_no_consensus_is_not_written(tmp_path, ds: xr.Dataset) -> None:
    path = tmp_path / "x"
    for other in (
        xr.Dataset(),
        ds.assign_attrs(of=object()),
        ds.assign_coords(z=np.datetime64(0, "D")),
    ):
        with pytest.raises(ConfigError) as error:
            synthsae.save_consensus(other, path)
        assert error.value.field == "ds"
    assert not path.exists()
    save_file({"a": np.zeros(2)}, path, {"synthsae_consensus": json.dumps({"variables": {}})})
    with pytest.raises(ConfigError) as error:
        synthsae.load_consensus(path)
    assert error.value.field == "path"


def two_sided(code: np.ndarray) -> xr.Dataset:
    """Consensus of seeds that learned both ends of four axes, with activations of that code."""
    rng = np.random.default_rng(5)
    axes = np.r_[np.eye(24)[:4], -np.eye(24)[:4], np.eye(24)[4:6]]
    seeds = axes + 0.02 * rng.standard_normal((6, 10, 24))
    x = np.zeros((len(code), 24))
    x[:, :4] = code * (rng.random((len(code), 1)) < 0.2)
    x[:, 4:6] = np.abs(rng.standard_normal((len(code), 2))) * (rng.random((len(code), 2)) < 0.1)
    return synthsae.consensus(seeds, activations=x + 0.01 * rng.standard_normal(x.shape))


@pytest.mark.parametrize("law", ["gaussian", "laplace"])
def test_two_sided_identities_are_claimed_if_their_code_is_sparse(law: str) -> None:
    rng, size = np.random.default_rng(6), (30_000, 4)
    code = rng.standard_normal(size) if law == "gaussian" else rng.laplace(size=size)
    ds = two_sided(code * [2, 1.5, 1, 0.7])
    inside = np.abs(ds.identity_direction.values[:, :4]).max(axis=1) > 0.9
    assert inside.sum() == 8
    assert (ds.identity_two_sided == inside).all()
    assert ds.identity_claimed[~inside].all()
    assert (ds.identity_claimed[inside] == (law == "laplace")).all()
    assert np.isfinite(ds.identity_kappa[inside]).all()
    without = synthsae.consensus(FOUR)
    assert "identity_kappa" not in without
    assert (without.identity_claimed == ~without.identity_two_sided).all()


def test_activations_have_the_width_of_the_directions() -> None:
    with pytest.raises(ConfigError) as error:
        synthsae.consensus(FOUR, activations=np.zeros((200, FOUR.shape[2] + 1)))
    assert "activations" in error.value.field


def test_rejected_candidates_and_verdicts_are_labelled(tmp_path) -> None:
    """One feature is two latents in each seed, another is too spread to be listed."""
    rng = np.random.default_rng(8)
    axes = np.eye(24)
    rows = [axes[0], axes[0], axes[1], axes[2], axes[3], axes[3] + 0.7 * axes[4]]
    spread = np.array([0.1, 0.1, 0.02, 0.02, 0.25, 0.25])[:, None] / np.sqrt(24)
    x = unit(np.array(rows) + spread * rng.standard_normal((6, 6, 24)))
    energy = np.arange(1, 7) / 21 * np.ones((6, 1))
    made = synthsae.consensus(x, energy=energy)
    assert made.sizes["identity"] == 3
    i = int(np.argmax(made.identity_direction.values[:, 0]))
    assert (made.identity_copies[i] == 1).all()
    assert int(made.identity_copies.sum()) == 6
    assert made.identity_energy[i] == pytest.approx(3 / 21)  # of both latents
    meaning = made.latent_verdict.flag_meanings.split()
    assert made.latent_verdict.flag_values == list(range(len(meaning)))
    names = np.array(meaning)[made.latent_verdict.values]
    assert set(map(frozenset, names[:, :2])) == {frozenset({"identity", "near_copy"})}
    assert (names[:, 2:4] == "identity").all()
    assert (names[:, 4:] == "identity_rejected").all()
    assert (made.latent_identity[:, :2] == i).all()
    copy = made.latent_copy_of.values[:, :2].max(axis=1)
    assert np.array_equal(copy, made.identity_latent[i])
    first = made.candidate_kind.values == 0
    assert first.sum() == 2
    of = np.repeat(np.arange(len(first)), made.candidate_members)
    for c in np.flatnonzero(first):
        at = made.candidate_member_seed[of == c], made.candidate_member_latent[of == c]
        assert sorted(at[0].values) == list(range(6))
        assert len(set(at[1].values)) == 1
        q = made.latent_q.values[at]
        assert (q == made.candidate_q.values[c]).all()
        assert (q > 0.05).all()
        assert made.candidate_found[c] == 6
    synthsae.save_consensus(made, tmp_path / "x")
    xr.testing.assert_identical(synthsae.load_consensus(tmp_path / "x"), made)
