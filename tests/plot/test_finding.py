"""A finding: its numbers, as data, in its sentence and in its table."""

import numpy as np
import pandas as pd

from synthsae.plot.finding import Finding


def test_a_sentence_has_its_numbers() -> None:
    found = Finding(
        "At rank {rank:.0f}, {p:.0%} come back; the law says {law}.",
        {"rank": 8, "p": 0.25, "law": np.nan},
    )
    assert found.sentence == "At rank 8, 25% come back; the law says unknown."
    assert str(found) == found.sentence


def test_a_table_stands_below_its_sentence() -> None:
    table = pd.DataFrame({"rank": [2, 16], "p_hat": [0.987654, np.nan]})
    lines = str(Finding("Two ranks.", table=table)).splitlines()
    assert lines[0] == "Two ranks."
    assert [line.split() for line in lines[2:]] == [["rank", "p_hat"], ["2", "0.988"], ["16", "-"]]
