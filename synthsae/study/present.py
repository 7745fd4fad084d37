"""What a saved Dataset shows: its pictures and its finding."""

import io
from collections.abc import Sequence

import xarray as xr

from synthsae import progress
from synthsae.checks import ConfigError
from synthsae.study.grid import Study
from synthsae.study.store import Store
from synthsae.user_code import in_a_line


def present(study: Study, store: Store) -> None:
    """Draw the saved Dataset as .png and .pdf, and print the finding.

    Raises:
        ConfigError: the study's figure or finding raised an exception on this Dataset.
    """
    from synthsae.plot.common import caveat

    dataset, name = store.open(), store.study
    stems = {"figure": name, "supplement": f"{name}_supplement"}
    try:
        with progress.bar("figure"):
            line, finding = caveat(dataset), study.finding(dataset)
            drawn = pictures(study, dataset, ("png", "pdf"))
    except Exception as error:  # the study is the user's code and may raise anything
        why = f"a Dataset that the study can draw ({in_a_line(error)})"
        raise ConfigError("figure", f"{store.folder / name}.nc", why) from error
    for (part, kind), content in drawn.items():
        store.save(f"{stems[part]}.{kind}", content)
    print(
        "", *filter(None, [line, str(finding)]), f"{store.folder / name}.nc, .png, .pdf", sep="\n\n"
    )


def pictures(
    study: Study, dataset: xr.Dataset, kinds: Sequence[str]
) -> dict[tuple[str, str], bytes]:
    """The figure of a study and its supplement, if it has one, with the caveat below each.

    Returns:
        (`figure` or `supplement`, kind) -> content of the file.
    """
    from synthsae.plot.common import caveat, with_line_below

    line, drawn = caveat(dataset), {}
    for part, draw in (("figure", study.figure), ("supplement", study.supplement)):
        if draw is None:
            continue
        figure = draw(dataset)
        frame = with_line_below(figure, line) if line else None
        for kind in kinds:
            data = io.BytesIO()
            figure.savefig(data, format=kind, dpi=200, bbox_inches=frame)
            drawn[part, kind] = data.getvalue()
    return drawn
