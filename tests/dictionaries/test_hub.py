"""Names on the Hugging Face hub, on a hub that is a local folder: nothing is downloaded."""

from pathlib import Path

import huggingface_hub
import numpy as np
import pytest
from dictionaries.write_formats import FORMATS, weights
from huggingface_hub.errors import HFValidationError

from synthsae.checks import ConfigError
from synthsae.dictionaries import hub, load, read


class Hub:
    """A hub with one repository, ours/saes, whose files are in a local folder."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.taken, self.revisions = folder, [], set()
        monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", self.list)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", self.download)

    def list(self, repo: str, revision: str | None = None) -> list[str]:
        if repo != "ours/saes":
            raise HFValidationError(repo)
        self.revisions.add(revision)
        files = (f for f in self.folder.rglob("*") if f.is_file())
        return [f.relative_to(self.folder).as_posix() for f in files]

    def download(self, repo: str, name: str, revision: str | None = None) -> str:
        assert repo == "ours/saes"
        self.taken.append(name)
        return str(self.folder / name)


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    monkeypatch.chdir(tmp_path)
    return Hub(tmp_path / "repository", monkeypatch)


@pytest.mark.parametrize("name", FORMATS)
def test_one_sae_of_many_is_downloaded_with_what_is_beside_it(there, name):
    for i in range(2):
        FORMATS[name](there.folder / f"layers.{i}", weights(i))
        (there.folder / f"layers.{i}" / "optimizer.pt").write_bytes(b"large")
    sharded = name == "sharded"
    file = {"npy": "/decoder.npy", "pt": "/decoder.pt"}.get(name, "")
    (sae,) = read(f"ours/saes/layers.1{file}")
    np.testing.assert_array_equal(sae.decoder, weights(1)["W_dec"])
    assert len(there.taken) <= (3 if sharded else 2)
    assert all(n.startswith("layers.1/") and "optimizer" not in n for n in there.taken)


def test_firing_rates_and_a_revision_are_asked_for(there):
    rates = np.full(24, 0.5)
    FORMATS["saelens"](there.folder, weights(0), rates=rates)
    (sae,) = read("ours/saes@v1")
    np.testing.assert_allclose(sae.rates, rates, rtol=1e-6)
    assert there.revisions == {"v1"}
    assert sae.name == "ours/saes@v1"
    assert there.taken[-1] == "sae_weights.safetensors"


def test_saes_of_the_hub_and_of_the_disk_are_compared(there, tmp_path):
    FORMATS["sparsify"](there.folder / "a", weights(0))
    mine = FORMATS["openmoss"](tmp_path / "mine", weights(1))
    assert load(["ours/saes/a", mine]).seeds == ("ours/saes/a", str(mine))


@pytest.mark.parametrize(
    "name", ["ours/other", "ours/saes/absent", "ours/saes", "no hub name/x", "ours", "/ours/saes"]
)
def test_what_is_on_no_hub_is_refused_in_one_line(there, name):
    for i in range(2):
        FORMATS["sparsify"](there.folder / f"layers.{i}", weights(i))
    with pytest.raises(ConfigError) as error:
        read(name)
    assert error.value.field == name
    assert "\n" not in str(error.value)
    assert not there.taken


def test_a_misspelt_path_is_not_asked_of_the_hub(there, tmp_path):
    (tmp_path / "ours").mkdir()
    assert hub.parsed("ours/saes") is None
    with pytest.raises(ConfigError):
        read("ours/saes")
    assert not there.revisions


def test_without_a_network_what_was_downloaded_before_is_read(there, monkeypatch):
    def offline(*_: object, **__: object) -> None:
        raise ConnectionError("no network")

    FORMATS["saelens"](there.folder, weights(0))
    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", offline)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(there.folder))
    np.testing.assert_array_equal(read("ours/saes")[0].decoder, weights(0)["W_dec"])
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", offline)
    for _ in range(2):
        with pytest.raises(ConfigError, match="ConnectionError"):
            read("ours/saes")
        monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)


def test_without_the_library_of_the_hub_one_line_says_so(there, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(ConfigError, match="pip install huggingface_hub"):
        read("ours/saes")
