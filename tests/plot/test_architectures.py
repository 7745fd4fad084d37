"""Every architecture has a look of its own, by its place in the registry."""

from collections.abc import Iterator

import pytest

from synthsae.plot.architectures import look
from synthsae.sae import ARCHITECTURES
from synthsae.sae.topk import TopK

OURS = {
    "topk": ("#000000", "o"),
    "batchtopk": ("#0072B2", "s"),
    "relu": ("#D55E00", "^"),
    "jumprelu": ("#E69F00", "v"),
    "gated": ("#CC79A7", "D"),
    "matryoshka": ("#009E73", "P"),
    "hierarchical_topk": ("#56B4E9", "X"),
    "kron": ("#8A8A8A", "*"),
}


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = dict(ARCHITECTURES)
    yield
    ARCHITECTURES.clear()
    ARCHITECTURES.update(before)


def test_ours_look_as_in_the_figures_of_the_studies() -> None:
    assert {arch: look(arch)[1:] for arch in OURS} == OURS
    assert list(ARCHITECTURES)[: len(OURS)] == list(OURS)


def test_new_architectures_differ_from_all_others() -> None:
    for i in range(40):
        ARCHITECTURES[f"mine_{i}"] = TopK
    looks = [look(arch)[1:] for arch in ARCHITECTURES]
    assert len(set(looks)) == len(looks)
    assert len({marker for _, marker in looks[:16]}) == 16


def test_an_architecture_that_is_not_registered_is_a_grey_point() -> None:
    assert look("of_another_file")[::2] == ("of_another_file", ".")
