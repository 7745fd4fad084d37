"""Headline figures of fixed Datasets as small images: python tests/images.py [NAME --results DIR]

Without arguments it draws every Dataset of tests/images anew. With a study it first makes that
study's Dataset, the least part of a result that gives the same picture. Run it after a figure has
changed on purpose, and look at the images.
"""

import argparse
import io
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import xarray as xr
from matplotlib.figure import Figure
from matplotlib.legend import Legend
from matplotlib.text import Text
from PIL import Image
from scipy.ndimage import gaussian_filter

from synthsae import open_results
from synthsae.arrays import Array
from synthsae.study import load

FOLDER = Path(__file__).with_name("images")
STUDIES = ("rank_sweep", "anisotropy", "k_sweep", "asymmetry", "pooling", "transfer")
DPI, SHRUNK = 99, 3
BLUR = 1.0
"""Pixels of the small image, so that a line may move by a fraction of a pixel."""
TOLERANCE = 0.012
"""Largest difference of two blurred images that counts as the same picture."""


def drawn(figure: Figure) -> Array:
    """What a figure shows beside its words, in RGB from 0 to 1; each pixel is the mean of 3 x 3.

    Words and legends are left out, and with them the layout: both differ between versions of
    matplotlib and FreeType. Lines, markers, areas and panels do not.
    """
    figure.set_layout_engine("none")
    for artist in figure.findobj(lambda a: isinstance(a, Text | Legend)):
        artist.set_visible(False)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=DPI)
    image = np.asarray(Image.open(data).convert("RGB"), dtype=float) / 255
    height, width = (n - n % SHRUNK for n in image.shape[:2])
    tiles = image[:height, :width].reshape(height // SHRUNK, SHRUNK, width // SHRUNK, SHRUNK, 3)
    return tiles.mean(axis=(1, 3))


def distance(a: Array, b: Array) -> float:
    """Largest difference of a blurred pixel in a colour, 0 to 1; 1 for images of two sizes."""
    if a.shape != b.shape:
        return 1.0
    return float(np.abs(gaussian_filter(a - b, (BLUR, BLUR, 0))).max())


def saved(name: str) -> Array:
    """The committed image of a study."""
    return np.asarray(Image.open(FOLDER / f"{name}.png").convert("RGB"), dtype=float) / 255


def dataset(name: str) -> xr.Dataset:
    """The committed Dataset of a study."""
    return xr.Dataset.from_dict(json.loads((FOLDER / f"{name}.json").read_text()))


def rounded(ds: xr.Dataset) -> xr.Dataset:
    """Numbers with four significant digits, so that their text is short."""

    def four(values: xr.DataArray) -> xr.DataArray:
        if values.dtype.kind != "f":
            return values
        texts = [float(f"{x:.4g}") for x in values.values.ravel()]
        return values.copy(data=np.reshape(texts, values.shape))

    return ds.map(four, keep_attrs=True)


def least(ds: xr.Dataset, draw: Callable[[xr.Dataset], Figure]) -> xr.Dataset:
    """`ds` without the variables that its picture does not need."""
    want = drawn(draw(ds))
    for name in list(ds.data_vars):
        try:
            same = distance(want, drawn(draw(ds.drop_vars(name)))) == 0
        except Exception:  # of many types: the figure needs it
            continue
        ds = ds.drop_vars(name) if same else ds
    return ds


def main() -> None:
    """Make the Dataset of a study if one is named, and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", nargs="?", choices=STUDIES)
    parser.add_argument("--results", type=Path, default=Path("results"))
    args = parser.parse_args()
    for name in [args.name] if args.name else STUDIES:
        draw = load(name).figure
        if args.name:
            small = least(rounded(open_results(name, args.results)), draw)
            (FOLDER / f"{name}.json").write_text(json.dumps(small.to_dict()) + "\n")
        image = np.round(255 * drawn(draw(dataset(name)))).astype(np.uint8)
        Image.fromarray(image).save(FOLDER / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
