"""What a study found: numbers first, then a sentence that names them, then a table."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from string import Formatter
from typing import Any

import pandas as pd
import xarray as xr

from synthsae.plot.phrases import number


@dataclass(frozen=True)
class Finding:
    """What a saved Dataset shows.

    Attributes:
        text: one or two sentences. `{name}` or `{name:.0%}` stands for a value of `values`.
        values: name -> number or text. A number that is not finite is written as "unknown".
        table: more numbers, a row for each setting, or None. NaN stands for an unknown number.
    """

    text: str
    values: Mapping[str, float | str] = field(default_factory=dict)
    table: pd.DataFrame | None = None

    @property
    def sentence(self) -> str:
        """`text` with its values."""
        return _Values().vformat(self.text, (), self.values)

    def __str__(self) -> str:
        if self.table is None or self.table.empty:
            return self.sentence
        rows = self.table.to_string(index=False, na_rep="-", float_format="{:.3g}".format)
        return f"{self.sentence}\n\n{rows}"


class _Values(Formatter):
    """A format whose numbers are as `phrases.number` writes them; texts stay as they are."""

    def format_field(self, value: Any, format_spec: str) -> str:
        return value if isinstance(value, str) else number(value, format_spec or ".2f")


def rows(
    ds: xr.Dataset, inside: Sequence[str], numbers: Callable[[xr.Dataset], Mapping[str, Any]]
) -> pd.DataFrame:
    """A table with a row for each setting: its coordinates, then `numbers` of its Dataset.

    Args:
        ds: saved Dataset.
        inside: dimensions that belong to one setting; each point of all others is a row.
        numbers: column name -> value of the Dataset of one setting.
    """
    others = [str(d) for d in ds.dims if d not in inside]
    points = product(*(ds[d].values for d in others))
    each = [dict(zip(others, point, strict=True)) for point in points]
    return pd.DataFrame([point | dict(numbers(ds.sel(point))) for point in each])
