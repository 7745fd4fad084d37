"""Checks of arrays: shapes, ranges, and what an error carries."""

import numpy as np
import pytest

from synthsae import checks
from synthsae.checks import ConfigError


@pytest.mark.parametrize(
    ("shape", "text", "fits"),
    [
        ((2, 3), "[M, D]", True),
        ((3,), "[M, D]", False),
        ((4, 2, 3), "[M, D]", False),
        ((4, 2, 3), "[..., M, D]", True),
        ((2, 3), "[..., M, D]", True),
        ((3,), "[..., M, D]", False),
        ((), "[...]", True),
        ((5, 3), "[m, 3]", True),
        ((5, 4), "[m, 3]", False),
        ((2, 3, 3), "[..., N, N]", True),
        ((3, 2, 3), "[..., N, N]", False),
        ((12, 12, 7), "[S, S, M]", True),
    ],
)
def test_a_shape_is_written_as_in_docstrings(shape: tuple[int, ...], text: str, fits: bool) -> None:
    if fits:
        assert checks.array("x", np.zeros(shape), text).shape == shape
    else:
        with pytest.raises(ConfigError) as error:
            checks.array("x", np.zeros(shape), text)
        assert error.value.field == "x"
        assert text in error.value.allowed


@pytest.mark.parametrize("bad", [-1, 5, 2.5, np.nan, np.inf, [0, 5], "two"])
def test_whole_numbers_of_a_range(bad: object) -> None:
    assert checks.whole("n", [0, 4.0], 0, 4).tolist() == [0, 4]
    with pytest.raises(ConfigError) as error:
        checks.whole("n", bad, 0, 4)
    assert error.value.field == "n"


@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, np.inf, [0.5], None])
def test_one_number_of_a_range(bad: object) -> None:
    assert checks.between("p", np.float32(0.5), 0, 1) == 0.5
    assert checks.in_range("p", [0, 1], 0, 1).tolist() == [0, 1]
    with pytest.raises(ConfigError) as error:
        checks.between("p", bad, 0, 1)  # type: ignore[arg-type]
    assert error.value.field == "p"


@pytest.mark.parametrize("bad", [np.inf, -np.inf, np.nan])
def test_a_range_without_an_end_is_finite(bad: float) -> None:
    for check in (checks.between, checks.in_range):
        with pytest.raises(ConfigError):
            check("l1", bad, 0)


@pytest.mark.parametrize("bad", [0, 1.5, "1", None])
def test_a_count(bad: object) -> None:
    assert checks.count("draws", np.float64(3)) == 3
    with pytest.raises(ConfigError) as error:
        checks.count("draws", bad)  # type: ignore[arg-type]
    assert (error.value.field, error.value.value) == ("draws", bad)


def test_a_mask_is_bool_of_its_shape() -> None:
    assert checks.mask("live", None, (2, 3)).all()
    for bad in (np.ones((2, 3)), np.ones((3, 2), bool), np.ma.masked_array(np.ones((2, 3), bool))):
        with pytest.raises(ConfigError):
            checks.mask("live", bad, (2, 3))


def test_orthonormal_columns() -> None:
    assert checks.orthonormal_columns("u", np.eye(3)[:, :2]).shape == (3, 2)
    for bad in (2 * np.eye(3), np.ones((3, 2)), np.zeros((3, 0))):
        with pytest.raises(ConfigError):
            checks.orthonormal_columns("u", bad)


def test_a_strict_range_leaves_out_its_ends() -> None:
    tiny = np.nextafter(0, 1)
    assert checks.between("level", tiny, 0, 1, strict=True) == tiny
    assert checks.in_range("beta", [tiny, 1e300], 0, strict=True).tolist() == [tiny, 1e300]
    for bad in (0, 1, 1.5):
        with pytest.raises(ConfigError) as one:
            checks.between("level", bad, 0, 1, strict=True)
        with pytest.raises(ConfigError) as many:
            checks.in_range("level", [0.5, bad], 0, 1, strict=True)
        assert one.value.value == bad
        assert many.value.field == one.value.field == "level"
