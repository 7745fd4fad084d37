"""What a result Dataset holds, as docs/schema.md: python tests/schema.py writes it.

Every score of the library and of our studies is computed on small trainings, and its variables are
listed as they are. Scores of texts need a language model and are left out.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import xarray as xr
from every_score import EVERY

from synthsae.config import Config, override
from synthsae.scores.needs import needs_of
from synthsae.scores.run import Run, run_cell
from synthsae.seeds.intervals import ALONE, PAIR
from synthsae.study.about import COORDINATES

PAGE = Path(__file__).parents[1] / "docs" / "schema.md"
TINY: dict[str, Any] = {
    "world.d_model": 12,
    "world.n_isolated": 4,
    "world.n_blocks": 2,
    "world.rank": 2,
    "sae.n_latents": 16,
    "sae.k": 2,
    "train.n_steps": 5,
    "train.batch_size": 32,
    "n_seeds": 4,
    "eval_samples": 400,
}
LAWS = {"atoms": "sparse", "axes": "generalised_normal"}
"""What a score needs -> the law of the blocks that has it."""
ATTRIBUTES = {
    "study": "name of the study",
    "question": "what it asks",
    "definitions": "thresholds behind the words: live, found, stable, ... (JSON)",
    "git_commit": "commit of the code that trained the SAEs; `-dirty` if files differed from it",
    "scored_at": "commit of the code that scored them",
    "versions": "of Python and of the packages that numbers depend on (JSON)",
    "device": "`cpu` or `cuda`",
    "group_size": "seeds that shared a matrix product",
    "precision": "of the arithmetic",
    "config": "`base`: the config of the first cell; `axes`: dimension -> values (JSON)",
    "hash": "of the configs of all cells",
    "format": "version of this format; another one is refused",
    "samples_trained": "of a seed; a list if cells differ (JSON)",
    "samples_evaluated": "held out, of a seed; a list if cells differ (JSON)",
    "frozen": "cell -> seeds whose loss stopped being finite, and the step; NaN in scores (JSON)",
    "source": "what a source other than a world says of itself, by cell (JSON; else absent)",
    "wall_seconds": "of training and scoring, over all cells",
    "stale": "parts of the code that changed since the trainings (`--accept-stale`; JSON)",
    "quick": "`true` for a run with `--quick`",
}
INTRODUCTION = """# What a result Dataset holds

`synthsae.open_results(NAME)` returns the Dataset that a study wrote to `results/NAME/NAME.nc`.
`print(ds)` shows its attributes, and a notebook the long names and units too.
`python tests/schema.py` writes this page, and a test compares it with the code.

- Each axis of the study is a dimension, named by the last part of its field: `world.rank` is
  `rank`. Its long name is the help text of the field.
- Each variable has a `long_name` and `units` (`1` for a number without a unit).
- NaN stands for what is not known: a cell that failed, a frozen seed, a block without latents.
- `synthsae.interval(ds, VARIABLE)` is the mean with its interval over seeds or worlds."""
SCORES = """## Variables, by score

A study has the variables of its scores. *Seeds* says what a seed's number depends on: `alone`, on
that seed; `others`, on the other seeds too; `pairs`, on two seeds. *Needs* says what a cell must
have for the score. Thresholds in a long name are those of the run, here the defaults."""


@cache
def trained(law: str) -> Run:
    """Four SAEs that have hardly been trained."""
    return run_cell(override(Config(), TINY | {"world.law": law}))


def page() -> str:
    """The text of docs/schema.md."""
    meaning = ("name", "meaning")
    parts = [INTRODUCTION, "## Coordinates", table(meaning, sorted(coordinates().items()))]
    parts += ["## Attributes", table(meaning, ATTRIBUTES.items()), SCORES]
    for name, score in sorted(EVERY.items()):
        parts += section(name, score)
    return "\n\n".join(parts) + "\n"


def coordinates() -> dict[str, str]:
    """Coordinate -> its long name: of every Dataset, and what scores say of their own."""
    found = dict(COORDINATES)
    for name in EVERY:
        for coordinate, values in computed(name).coords.items():
            found.setdefault(str(coordinate), values.attrs.get("long_name", ""))
    return found


@cache
def computed(name: str) -> xr.Dataset:
    """What the score of that name returns."""
    needs = needs_of(EVERY[name])
    return EVERY[name](trained(next((LAWS[n] for n in needs if n in LAWS), "isotropic")))


def section(name: str, score: Callable[[Run], xr.Dataset]) -> Iterator[str]:
    """A score: what it is, what it needs, and its variables."""
    needs, ds = needs_of(score), computed(name)
    yield f"### `{name}`"
    summary = (score.__doc__ or "").strip().split("\n\n")[0]
    yield " ".join(summary.split()) + (f" Needs: {', '.join(needs)}." if needs else "")
    head = ("variable", "dimensions", "long name", "units", "seeds")
    yield table(head, (row(str(v), ds[v]) for v in ds))


def row(name: str, values: xr.DataArray) -> tuple[str, ...]:
    """A line about a variable."""
    seeds = "alone" if name in ALONE else "others"
    seeds = "pairs" if set(PAIR) & set(values.dims) else seeds if "seed" in values.dims else ""
    dims = ", ".join(map(str, values.dims))
    return f"`{name}`", dims, values.attrs.get("long_name", ""), values.attrs["units"], seeds


def table(head: Sequence[str], rows: Any) -> str:
    """A Markdown table; a bar in a cell is escaped."""
    marks = ["---"] * len(head)
    lines = (" | ".join(c.replace("|", "&#124;") for c in r) for r in (head, marks, *rows))
    return "\n".join(f"| {line} |" for line in lines)


if __name__ == "__main__":
    PAGE.write_text(page())
