"""A training that was stopped goes on to the same bits; a damaged checkpoint falsifies nothing."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

import synthsae.train.checkpoint as checkpoints
from synthsae.sae import SAEConfig
from synthsae.train import TrainConfig, train
from synthsae.world import World, WorldConfig

WORLD = World.plant(WorldConfig(d_model=8, n_isolated=6, isolated_p=0.3, n_blocks=0), seed=0)
SAE = SAEConfig(n_latents=24, k=2)
CONFIG = TrainConfig(n_steps=30, batch_size=16, lr=0.01, dead_after=64, group_size=2, device="cpu")


class Broken:
    """WORLD, whose batches stop at step `at`; seed 2 has a batch that is not finite at step 4."""

    d_model = 8

    def __init__(self, at=None):
        self.at, self.asked = at, []

    def batch(self, t, size, *, seed, stream="data", device="cpu"):
        if t == self.at:
            raise OSError("the power is gone")
        self.asked.append(t)
        x = WORLD.batch(t, size, seed=seed, stream=stream, device=device)
        return x * torch.nan if (t, seed) == (4, 2) else x


def assert_same(a, b):
    assert all(torch.equal(p, b.stack.params[name]) for name, p in a.stack.params.items())
    assert torch.equal(a.loss, b.loss) or torch.equal(a.loss.isnan(), b.loss.isnan())
    assert torch.equal(a.samples_since_fired, b.samples_since_fired)
    assert a.frozen == b.frozen


@pytest.fixture
def every(monkeypatch):
    monkeypatch.setattr(checkpoints, "EVERY", 0.0)


@pytest.mark.parametrize("at", [1, 7, 29])
@pytest.mark.usefixtures("every")
def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path, at):
    """Moments, dead counts and a frozen seed come back too; what was done is not done again."""
    whole = train(Broken(), SAE, CONFIG, seeds=range(4))
    assert whole.frozen == {2: 4}
    with pytest.raises(OSError, match="power"):
        train(Broken(at), SAE, CONFIG, seeds=range(4), checkpoint=tmp_path)
    source, done = Broken(), []
    resumed = train(source, SAE, CONFIG, seeds=range(4), checkpoint=tmp_path, progress=done.append)
    assert_same(resumed, whole)
    assert sum(done) == 4 * 30
    assert source.asked.count(0) < 4
    again = Broken(at=0)  # all groups are done: nothing is asked of the source
    assert_same(train(again, SAE, CONFIG, seeds=range(4), checkpoint=tmp_path), whole)
    assert again.asked == []


@pytest.mark.parametrize("harm", ["flip", "cut", "empty"])
@pytest.mark.usefixtures("every")
def test_a_damaged_checkpoint_is_said_and_not_used(tmp_path, harm):
    whole = train(WORLD, SAE, CONFIG, seeds=[0, 1])
    with pytest.raises(OSError, match="power"):
        train(Broken(9), SAE, CONFIG, seeds=[0, 1], checkpoint=tmp_path)
    (path,) = tmp_path.glob("*.safetensors")
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": bytes(data), "cut": bytes(data[:100]), "empty": b""}[harm])
    with pytest.warns(UserWarning, match=path.name):
        resumed = train(WORLD, SAE, CONFIG, seeds=[0, 1], checkpoint=tmp_path)
    assert_same(resumed, whole)


@pytest.mark.usefixtures("every")
def test_of_two_checkpoints_the_later_is_used(tmp_path, monkeypatch):
    """A kill may come between the writing of one and the removal of the one before it."""
    monkeypatch.setattr(checkpoints.Path, "unlink", lambda self: None)
    with pytest.raises(OSError, match="power"):
        train(Broken(9), SAE, CONFIG, seeds=[0, 1], checkpoint=tmp_path)
    assert len(list(tmp_path.glob("*.safetensors"))) == 9
    source = Broken()
    train(source, SAE, CONFIG, seeds=[0, 1], checkpoint=tmp_path)
    assert min(source.asked) == 9


@pytest.mark.parametrize(
    "change",
    [{"lr": 0.02}, {"n_steps": 40}, {"group_size": 1}, {"clip": 0.5}],
    ids=str,
)
@pytest.mark.usefixtures("every")
def test_a_checkpoint_of_another_training_is_not_used(tmp_path, change):
    train(WORLD, SAE, CONFIG, seeds=[0, 1], checkpoint=tmp_path)
    other = replace(CONFIG, **change)
    mixed = train(WORLD, SAE, other, seeds=[0, 1], checkpoint=tmp_path)
    assert_same(mixed, train(WORLD, SAE, other, seeds=[0, 1]))
    swapped = train(WORLD, SAE, CONFIG, seeds=[1, 0], checkpoint=tmp_path)
    assert_same(swapped, train(WORLD, SAE, CONFIG, seeds=[1, 0]))


def test_a_short_training_leaves_no_file(tmp_path):
    train(WORLD, SAE, CONFIG, seeds=[0, 1], checkpoint=tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_checkpoints_follow_the_clock_that_nobody_sets(tmp_path, monkeypatch):
    now = iter(range(0, 10_000, 50))
    clock = SimpleNamespace(
        monotonic=lambda: next(now)
    )  # for this module: threads ask the time too
    monkeypatch.setattr(checkpoints, "time", clock)
    saved = []
    plain = checkpoints.Checkpoint.save
    monkeypatch.setattr(
        checkpoints.Checkpoint, "save", lambda self, g: (saved.append(g.n_done), plain(self, g))
    )
    train(WORLD, SAE, CONFIG, seeds=[0, 1], checkpoint=tmp_path)
    assert saved[0] == 3  # 150 s of steps that take 50 s each: the first past two minutes
    assert saved[-1] == 30
    assert len(list(tmp_path.glob("*"))) == 1
