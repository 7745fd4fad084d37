"""Comparing SAEs whose answer is known: copies, permutations, rotations inside a block."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from known_latents import decoders
from saelens_format import put, weights
from safetensors.torch import save_file

import synthsae
from realdata import compare
from synthsae import theory
from synthsae.checks import ConfigError
from synthsae.dictionaries import read, stacked
from synthsae.geometry import haar
from synthsae.plot.words import report
from synthsae.sae import SAEConfig, SAEStack
from synthsae.stats import row_interval

D, FEATURES, RANK = 96, 20, 12


def dictionary(rng: np.random.Generator, turn: np.ndarray | None = None) -> np.ndarray:
    """Isolated features beside a cross-polytope in a block, rotated: [F + 2 R, D], any lengths."""
    axes = np.eye(RANK) if turn is None else turn
    rows = np.zeros((FEATURES + 2 * len(axes), D))
    rows[:FEATURES, :FEATURES] = np.eye(FEATURES)
    rows[FEATURES:, FEATURES : FEATURES + len(axes)] = np.concatenate([axes, -axes])
    return rows * rng.uniform(0.5, 2, (len(rows), 1))


def write(path: Path, rows: np.ndarray, name: str = "W_dec", **more: np.ndarray) -> str:
    tensors = {name: rows} | more
    save_file({n: torch.tensor(x.copy()).float() for n, x in tensors.items()}, path)
    return str(path)


def run(tmp_path: Path, *saes: str, more: tuple[str, ...] = ()) -> xr.Dataset:
    assert compare.main([*saes, "--out", str(tmp_path / "out"), *more]) == 0
    assert (tmp_path / "out" / "compare.png").stat().st_size > 10_000
    return xr.load_dataset(tmp_path / "out" / "compare.nc", engine="h5netcdf")


def refused(capsys: pytest.CaptureFixture, *argv: str) -> str:
    assert compare.main(argv) == 2
    text = capsys.readouterr().err.strip().splitlines()
    assert len(text) == 1
    return text[0]


def off_diagonal(matrix: xr.DataArray) -> np.ndarray:
    return matrix.values[~np.eye(len(matrix), dtype=bool)]


def test_permutations(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(0)
    base, saes = dictionary(rng), []
    for i in range(3):
        order = rng.permutation(len(base))
        rows, scale = base[order], rng.uniform(0.5, 2, (len(base), 1))
        saes.append(write(tmp_path / f"{i}.safetensors", rows * scale, W_enc=3 * rows.T))
    ds = run(tmp_path, *saes)
    for name in ("pairwise_mcc", "matched_median", "matched_share", "mmcs", "shared_share"):
        np.testing.assert_allclose(off_diagonal(ds[name]), 1, atol=1e-6, err_msg=name)
    assert (ds.p_hat == 1).all()
    assert (ds.stable_share == 1).all()
    assert ds.reappearance_counts.values.tolist() == [[0, 0, 44]] * 3
    assert int(ds.clusters) == 0
    assert ds.transfer.isnull().all()
    text = capsys.readouterr().out
    assert f"numbered differently: {', '.join(saes)} (all count)" in text
    assert "3 values only" in text


def test_one_latent_is_answered_on_the_screen(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    saes = [write(tmp_path / f"{i}.safetensors", decoder) for i, decoder in enumerate(decoders(4))]
    run(tmp_path, *saes, more=("--latent", "3"))
    out = capsys.readouterr().out
    view = synthsae.report(saes).latent(3)
    assert str(view) in out
    assert "Latent 3 of" in out
    made = {p.name for p in (tmp_path / "out").iterdir()}
    assert made >= {"report.html", "latents.csv", "report.json", "consensus.safetensors"}
    assert "--latent 3" in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("more", "field"), [(("--latent", "99"), "latent"), (("--latent", "0", "--sae", "x"), "sae")]
)
def test_a_latent_that_there_is_not(
    tmp_path: Path, capsys: pytest.CaptureFixture, more: tuple[str, ...], field: str
) -> None:
    saes = [write(tmp_path / f"{i}.safetensors", decoder) for i, decoder in enumerate(decoders(3))]
    assert compare.main([*saes, "--out", str(tmp_path / "out"), *more]) == 2
    assert (
        capsys.readouterr().err.strip().splitlines()[-1].startswith(f"realdata.compare: {field}:")
    )
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.slow
def test_rotations_inside_a_block(tmp_path: Path) -> None:
    """Latents of the block no longer come back; its rank is found from them, and from p_hat."""
    rng = np.random.default_rng(1)
    turns = haar(RANK, rng, (12,))
    ds = run(
        tmp_path,
        *[write(tmp_path / f"{i}.safetensors", dictionary(rng, q)) for i, q in enumerate(turns)],
    )
    assert (ds.p_hat.values[:, :FEATURES] == 1).all()
    block = ds.p_hat.values[:, FEATURES:].mean()
    law = theory.coverage_closed(2 * RANK, RANK)
    assert block == pytest.approx(float(law), abs=0.03)
    assert (ds.reappearance_counts.sel(found_in=11) == FEATURES).all()
    assert int(ds.clusters) >= 1  # a corner of the block may be a group of its own
    first = ds.isel(cluster=0)
    assert first.cluster_share > 0.8
    assert first.cluster_rank == RANK
    assert first.cluster_latents == 2 * RANK
    assert first.cluster_reappearance == pytest.approx(block)
    assert first.cluster_moment_rank == pytest.approx(RANK)  # its codes are tight frames
    assert "shared_share" not in ds
    assert (ds.latent_rank.values[:, :FEATURES] < 1.1).all()
    assert np.median(ds.latent_rank.values[:, FEATURES:]) == pytest.approx(RANK, rel=0.25)
    assert (ds.class_latent_rank.sel(label="stable") < 1.1).all()


def test_stable_latents_count_for_the_rank_of_their_block(tmp_path: Path) -> None:
    """At rank 4 a latent comes back three times in four: loose ones alone would say less."""
    rng = np.random.default_rng(3)
    turns = haar(4, rng, (10,))
    ds = run(
        tmp_path,
        *[write(tmp_path / f"{i}.safetensors", dictionary(rng, q)) for i, q in enumerate(turns)],
    )
    block = ds.p_hat.values[:, FEATURES:]
    assert block[block < 0.95].mean() < block.mean() - 0.01
    first = ds.isel(cluster=0)
    assert (first.cluster_rank, first.cluster_latents) == (4, 8)
    assert first.cluster_reappearance == pytest.approx(block.mean())
    assert first.cluster_moment_rank == pytest.approx(4)


def test_a_rotated_subspace_is_transferred_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rng, rank = np.random.default_rng(0), 20
    turns = haar(rank, rng, (3,))
    ds = run(
        tmp_path,
        *[write(tmp_path / f"{i}.safetensors", dictionary(rng, q)) for i, q in enumerate(turns)],
    )
    assert (ds.p_hat.values[:, FEATURES:] == 0).all()
    np.testing.assert_allclose(ds.pairwise_mcc, ds.pairwise_mcc.T)
    r = ds.r.values
    np.testing.assert_allclose(ds.transfer[:, r >= rank], 1, atol=1e-9)
    assert (ds.transfer[:, (r > 0) & (r < rank)] < 0.99).all()
    np.testing.assert_allclose(ds.transfer_other, 0, atol=1e-9)  # the null has no block latents
    np.testing.assert_allclose(ds.transfer_stable, 0, atol=1e-9)  # the block is apart from them
    assert ds.rank_rows.values.tolist() == [FEATURES] * 3
    np.testing.assert_allclose(ds.stable_rank * D, FEATURES)
    assert (ds.unstable_rank * D < rank - 1).all()
    table = report(ds).table
    assert table is not None
    said = table.set_index("score")
    at = ds.isel(r=int(np.argmin(abs(ds.transfer_chance.values - 0.25))))
    unstable, other = said.loc[
        ["transfer of unstable latents, r = D / 4", "  from latents that are not unstable"]
    ].value
    assert (unstable, other) == pytest.approx((1, 0), abs=1e-9)
    more = row_interval(at.transfer_excess.values)
    ends = said.loc["  excess over these, rows matched", ["value", "low", "high"]].tolist()
    assert ends == pytest.approx([float(v) for v in more])
    assert said.value["  from as many stable latents"] == pytest.approx(0, abs=1e-9)
    ratio = float((ds.stable_rank / ds.iid_rank).mean())
    assert said.value["effective rank of stable latents / random ones"] == pytest.approx(ratio)
    assert "found in another SAE with probability" in capsys.readouterr().out
    assert not {"transfer_predicted", "in_blocks_chance"} & set(ds)


def test_smaller_dictionaries_and_dead_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    base = dictionary(rng)
    base[3] = 0
    a = write(tmp_path / "a.safetensors", base)
    b = write(tmp_path / "b.safetensors", base[:FEATURES])
    np.save(tmp_path / "live.npy", np.tile(np.arange(44) != 5, (2, 1)))
    ds = run(tmp_path, a, b, more=("--live", str(tmp_path / "live.npy")))
    assert ds.live_latents.values.tolist() == [42, 18]
    assert ds.latents.values.tolist() == [43, 19]
    np.testing.assert_allclose(ds.found_share[0, 1], 18 / 42)
    np.testing.assert_allclose(ds.found_share[1, 0], 1)
    np.testing.assert_allclose(off_diagonal(ds.pairwise_mcc), 1, atol=1e-6)
    assert ds.p_hat[:, [3, 5]].isnull().all()
    np.save(tmp_path / "live.npy", np.full((2, 44), 0.00009))
    with pytest.raises(ConfigError, match=r"a\.safetensors: 'no live latent'"):
        stacked([*read(a), *read(b)], tmp_path / "live.npy")


def test_what_is_too_large_is_not_matched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    monkeypatch.setattr(compare, "MATCHED_AT_MOST", 43)
    rng = np.random.default_rng(6)
    saes = [
        write(tmp_path / f"{i}.safetensors", rng.permutation(dictionary(rng))) for i in range(2)
    ]
    ds = run(tmp_path, *saes)
    assert not {"pairwise_mcc", "mmcs", "shared_share"} & set(ds)
    text = capsys.readouterr().out
    assert "too large to be matched one to one" in text
    assert "2 values only, and there is no interval." in text


def test_saelens_folders(tmp_path: Path) -> None:
    kinds = ("standard", "topk", "jumprelu", "gated")
    folders = [put(tmp_path / k, k, weights(k, seed=i)) for i, k in enumerate(kinds)]
    saes = stacked([read(f)[0] for f in folders])
    for i, (kind, folder) in enumerate(zip(kinds, folders, strict=True)):
        tensors = weights(kind, seed=i)
        rows = tensors["W_dec"].astype(float)
        rows /= np.linalg.norm(rows, axis=1, keepdims=True)
        rows[tensors.get("threshold", np.zeros(12)) == np.inf] = 0  # latents that never fire
        np.testing.assert_allclose(saes.directions[i], rows)
        assert saes.encoders is not None
        np.testing.assert_allclose(saes.encoders[i], tensors["W_enc"].T)
        assert saes.seeds[i] == str(folder)
    ds = run(tmp_path, *map(str, folders))
    assert json.loads(ds.attrs["saes"]) == [str(f) for f in folders]
    assert ds.attrs["d_model"] == 6


def test_our_stacks(tmp_path: Path) -> None:
    """All seeds of a stack, and the same SAEs in files of their own, give the same."""
    stack = SAEStack.init(SAEConfig(n_latents=20), 10, (3, 5))
    stack.save(tmp_path / "stack.safetensors")
    found = read(tmp_path / "stack.safetensors")
    assert [s.name for s in found] == [f"{tmp_path / 'stack.safetensors'} seed {i}" for i in (3, 5)]
    np.testing.assert_allclose(stacked(found).directions, stack.directions(), atol=1e-7)
    with_kron = SAEStack.init(SAEConfig(arch="kron", n_latents=16), 10, (3, 5))
    with_kron.save(tmp_path / "kron.safetensors")
    assert stacked(read(tmp_path / "kron.safetensors")).encoders is None
    twice = stacked([*found, *found])
    assert [n[-5:] for n in twice.seeds] == ["3 (1)", "5 (1)"]
    assert [[n[-5:] for n in group] for group in twice.copies] == [
        ["3 (1)", "3 (2)"],
        ["5 (1)", "5 (2)"],
    ]


def test_other_layouts(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(4)
    rows, encoder = rng.standard_normal((2, 7, 5))
    linear = tmp_path / "linear.safetensors"
    write(linear, rows.T, "decoder.weight", **{"encoder.weight": encoder, "bias": np.zeros(5)})
    (sae,) = read(linear)
    np.testing.assert_allclose(sae.decoder, rows, rtol=1e-6)
    np.testing.assert_allclose(sae.encoder, encoder, rtol=1e-6)
    odd = tmp_path / "odd.safetensors"
    write(odd, rows.T, "atoms", other=np.zeros((2, 3)), scale=np.zeros(4))
    np.testing.assert_allclose(read(odd, "atoms", transpose=True)[0].decoder, rows, rtol=1e-6)
    assert read(odd, "atoms")[0].decoder.shape == (5, 7)
    text = refused(capsys, str(odd), str(odd))
    assert "--decoder: None; allowed: atoms [5, 7], other [2, 3]" in text
    wrong = tmp_path / "wrong.safetensors"
    write(wrong, rows.T, "W_dec", b_dec=np.zeros(5))
    assert read(wrong)[0].decoder.shape == read(wrong, transpose=True)[0].decoder.shape == (7, 5)


def error_of(*paths: str | Path, live: Path | None = None) -> ConfigError:
    """The error with which these SAEs are refused."""
    with pytest.raises(ConfigError) as error:
        stacked([sae for path in paths for sae in read(path)], live)
    return error.value


def test_refused(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    rows = np.random.default_rng(5).standard_normal((7, 5))
    good = write(tmp_path / "good.safetensors", rows)
    assert error_of(good).field == "SAEs"
    assert error_of(good, write(tmp_path / "d.safetensors", rows[:, :4])).field == "d_model"
    zero = write(tmp_path / "zero.safetensors", 0 * rows)
    assert error_of(good, zero).field == f"{zero}: decoder"
    wrong = rows.copy()
    wrong[2, :2] = np.nan, np.inf
    bad = write(tmp_path / "bad.safetensors", wrong)
    error = error_of(good, bad)
    assert error.field == f"{bad}: W_dec"
    assert str(error.value).startswith("2 ")
    for name in ("sae.pt", "sae.bin", "sae.pkl"):
        (tmp_path / name).write_bytes(b"cos\nsystem\n(S'false'\ntR.")
        assert "a pickle that calls os.system" in error_of(tmp_path / name).value
    (tmp_path / "folder" / "layer").mkdir(parents=True)
    (tmp_path / "folder" / "more.txt").touch()
    assert error_of(tmp_path / "folder").value == ["layer/", "more.txt"]
    for path in (tmp_path / "cut.safetensors", tmp_path / "absent"):
        if path.suffix:
            path.write_bytes(Path(good).read_bytes()[:40])
        assert error_of(path).field == str(path)
    other = write(tmp_path / "other.safetensors", rows[::-1] ** 2)
    for values in (np.ones((2, 3), bool), np.array([{}])):
        np.save(tmp_path / "live.npy", values)
        assert error_of(good, other, live=tmp_path / "live.npy").field == "--live"
    (tmp_path / "file").touch()
    assert "--out" in refused(capsys, good, other, "--out", str(tmp_path / "file"))
    assert "allowed: a .pt file of tensors" in refused(capsys, str(tmp_path / "sae.pt"), good)


def test_theta_is_an_option_and_is_written_down(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    rng = np.random.default_rng(1)
    rows = dictionary(rng)
    near = (
        rows
        + 0.6 * rng.standard_normal(rows.shape) / D**0.5 * np.linalg.norm(rows, axis=1)[:, None]
    )
    saes = [write(tmp_path / f"{n}.safetensors", r) for n, r in (("a", rows), ("b", near))]
    strict, default = run(tmp_path, *saes, more=("--theta", "0.95")), run(tmp_path, *saes)
    assert strict.live_reappearance.mean() < default.live_reappearance.mean()
    assert json.loads(strict.attrs["definitions"])["theta"] == 0.95
    assert json.loads(default.attrs["definitions"])["theta"] == 0.7
    capsys.readouterr()
    assert "definitions.theta" in refused(capsys, *saes, "--theta", "2")
