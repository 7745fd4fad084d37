"""Every form in which a user has SAEs gives the same `Dictionaries`."""

from pathlib import Path

import numpy as np
import pytest

from synthsae.checks import ConfigError
from synthsae.dictionaries import load, read
from synthsae.sae import SAEConfig, SAEStack

STACK = SAEStack.init(SAEConfig(n_latents=12), 8, (3, 5))


def test_every_form_of_the_same_saes_gives_the_same(tmp_path):
    STACK.save(path := tmp_path / "stack.safetensors")
    rows = STACK.params["w_dec"]
    forms = [STACK, path, str(path), [path], read(path), rows, rows.numpy(), list(rows.numpy())]
    forms += [[STACK.select([0]), rows[1].numpy()], [rows[0].tolist(), *read(path)[1:]]]
    for form in forms:
        found = load(form)
        np.testing.assert_allclose(found.directions, STACK.directions(), atol=1e-7)
        assert found.live.all()
    assert load(STACK).encoders is not None
    assert load(STACK).seeds == ("stack seed 3", "stack seed 5")
    assert load(rows).seeds == ("SAE 0", "SAE 1")
    assert load(found) is found


def test_live_latents_are_given_as_an_array():
    live = np.ones((2, 12), bool)
    live[0, 3] = False
    np.testing.assert_array_equal(load(STACK, live).live, live)
    np.testing.assert_array_equal(load(STACK, 0.01 * live).live, live)
    with pytest.raises(ConfigError) as error:
        load(STACK, live[:1])
    assert error.value.field == "--live"


@pytest.mark.parametrize(
    ("saes", "field"),
    [
        (np.ones((3, 4)), "saes[0]"),
        (np.full((2, 3, 4), np.nan), "saes[0]"),
        ([Path("absent"), np.ones((3, 4))], "absent"),
        ([np.ones((3, 4)), "no numbers"], "no numbers"),
        ([np.ones((3, 4)), None], "saes[1]"),
        ([np.ones((3, 4)), np.zeros((3, 4))], "SAE 1"),
        ([], "SAEs"),
    ],
)
def test_anything_else_is_refused_in_one_line(saes, field):
    with pytest.raises(ConfigError) as error:
        load(saes)
    assert error.value.field == field


def test_the_old_place_still_works(recwarn):
    import realdata

    assert realdata.saes.read is read
    assert {w.category for w in recwarn} <= {DeprecationWarning}
