"""Compare trained SAEs: which latents of one SAE also occur in the others?

    python -m realdata.compare A B C --out report

A, B, C: folders or files of SAELens, sparsify, dictionary_learning, Gemma Scope, OpenMOSS and
others (docs/guide.md has the table), or names on the Hugging Face hub. Computes every score
between SAEs that needs only their weights, and a verdict on every latent. Writes `report.html` for
a browser, tables for other tools (`synthsae.reports.write`), and the scores as `compare.nc` with a
figure, `compare.png` and `compare.pdf`. Prints a summary.
"""

import importlib
import os
import signal
import sys

if __name__ == "__main__":  # before the imports, which take seconds: Ctrl-C works at once
    STOPPED = b"\nrealdata.compare: stopped; nothing was written\n"
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, lambda *_: (os.write(2, STOPPED), os._exit(130)))
    sys.exit(importlib.import_module("realdata.compare").main())

import argparse
import io
import json
import shlex
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from threading import current_thread, main_thread
from types import FrameType
from typing import NoReturn

import xarray as xr

from synthsae import files, progress, reports, scores
from synthsae.checks import ConfigError
from synthsae.definitions import DEFAULTS, Definitions
from synthsae.dictionaries import read, shown, stacked
from synthsae.plot.report import stability_report
from synthsae.plot.words import report
from synthsae.provenance import git_commit, versions
from synthsae.scores.needs import needs_of
from synthsae.scores.run import Dictionaries

MATCHED_AT_MOST = 20_000
"""Largest number of latents for which whole cosine matrices (3.2 GB each) are computed."""

SCORES = (
    scores.live_stability,
    scores.reappearance_counts,
    scores.unstable_transfer,
    scores.class_dimension,
    scores.cluster_ranks,
    scores.rank_by_class,
)
MATCHED_SCORES = (scores.matched_agreement, scores.nearest_agreement, scores.shared_latents)
"""Scores that need the whole cosine matrix of two SAEs."""

CAVEAT = (
    "Files do not say how many tokens these SAEs were trained on, or whether they share a start. "
    "Few tokens lower these numbers, and a shared start raises them."
)


def compare(saes: Dictionaries) -> xr.Dataset:
    """Every score between the SAEs that needs only their weights, as one Dataset.

    `MATCHED_SCORES` are left out above `MATCHED_AT_MOST` latents, and scores of encoders if not
    every file has an encoder.

    Args:
        saes: two SAEs or more.
    """
    small = saes.directions.shape[1] <= MATCHED_AT_MOST
    every = SCORES + MATCHED_SCORES if small else SCORES
    chosen = [s for s in every if saes.encoders is not None or "encoders" not in needs_of(s)]
    found = []
    with progress.bar("comparison", len(chosen), "scores") as count:
        for score in chosen:
            with progress.bar(score.__name__):
                found.append(score(saes))
            count(1)
    dataset = xr.merge(found, join="exact", compat="no_conflicts")
    sizes = saes.directions.any(axis=2).sum(axis=1)
    dataset["latents"] = (
        "seed",
        sizes,
        {"long_name": "decoder rows that are not zero", "units": "latents"},
    )
    if saes.sizes:
        text = "latents that never fire, according to weights or firing rates"
        dead = saes.sizes - saes.live.sum(axis=1)
        dataset["dead_latents"] = ("seed", dead, {"long_name": text, "units": "latents"})
    dataset["p_hat"] = (("seed", "latent"), saes.p_hat, {"long_name": "p_hat, NaN if dead"})
    for end, value in zip(("", "_low", "_high"), saes.latent_rank, strict=True):
        text = "dimensions in which the latent may turn, NaN if dead"
        dataset[f"latent_rank{end}"] = ("seed", "latent"), value, {"long_name": text}
    dataset.attrs = {
        "d_model": saes.d_model,
        "versions": versions(),
        "git_commit": git_commit(),
        "saes": json.dumps(saes.seeds),
        "cosines": "absolute" if saes.absolute else "signed",
        "copies": json.dumps(saes.copies),
        "notes": json.dumps(saes.notes),
        "definitions": json.dumps(asdict(saes.definitions)),
    }
    return dataset


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status: 0, 2 for bad input, or 130 after Ctrl-C."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        saes = [
            sae for path in args.saes for sae in read(path, args.decoder, transpose=args.transpose)
        ]
        defined = Definitions(theta=args.theta)
        together = stacked(saes, args.live, args.absolute, defined)
        for note in together.notes:
            print(f"{parser.prog}: {note}", file=sys.stderr)
        files.make(args.out, "--out")
        dataset = compare(together)
        _save(dataset, args.out)
        seen = reports.report(together)
        view = None if args.latent is None else seen.latent(args.latent, _position(args.sae))
        command = shlex.join(["synthsae", "compare", *(argv or sys.argv[1:])])
        written = seen.write(args.out, shown(command))
    except ConfigError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{parser.prog}: stopped", file=sys.stderr)
        return 130
    print(f"\n{report(dataset)}\n{CAVEAT}\n")
    print(seen.counts.rename("latents of all SAEs").to_string(), "\n")
    if view is not None:
        print(view, "\n")
    others = ", ".join([*(path.name for path in written[1:]), "compare.nc"])
    print(f"open {shown(written[0])}; beside it: {others}")
    return 0


def _position(sae: str) -> int | str:
    """An SAE as `Report.latent` takes it: a position, or a name."""
    return int(sae) if sae.isdecimal() else sae


def _save(dataset: xr.Dataset, out: Path) -> None:
    """Write the Dataset and its figure to the folder `out`, as a whole or not at all."""
    parts = {out / "compare.nc": bytes(dataset.to_netcdf(engine="h5netcdf"))}
    figure = stability_report(dataset)
    for kind in ("png", "pdf"):
        drawn = io.BytesIO()
        figure.savefig(drawn, format=kind, dpi=200)
        parts[out / f"compare.{kind}"] = drawn.getvalue()
    files.sweep(out)
    with _delayed_interrupt():
        files.write_all(parts, "--out")


@contextmanager
def _delayed_interrupt() -> Iterator[None]:
    """Delay Ctrl-C to the end of the block, so that no file is written in part."""
    if current_thread() is not main_thread():  # only the main thread can set a handler
        yield
        return
    received: list[tuple[int, FrameType | None]] = []
    before = signal.signal(signal.SIGINT, lambda *arguments: received.append(arguments))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if received and callable(before):
            before(*received[0])


class _Parser(argparse.ArgumentParser):
    """A parser whose errors are one line, without the usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="realdata.compare", description=__doc__, allow_abbrev=False)
    add = parser.add_argument
    text = "a folder or file with an SAE, or its name on the hub"
    add("saes", nargs="+", metavar="SAE", help=text)
    add(
        "--out",
        type=Path,
        default=Path("compare"),
        metavar="DIR",
        help="folder of the report (./compare)",
    )
    add("--latent", type=int, metavar="N", help="print what is known of latent N")
    add("--sae", default="0", metavar="SAE", help="its SAE: position, from 0, or name (0)")
    add("--decoder", metavar="NAME", help="name of the tensor of decoder rows, [M, D]")
    add("--transpose", action="store_true", help="the decoder has the shape [D, M]")
    add(
        "--live",
        type=Path,
        metavar="FILE",
        help=".npy file of firing rates, or of true for live latents, [S, M]",
    )
    text = f"least cosine at which a latent counts as found in another SAE ({DEFAULTS.theta:g})"
    add("--theta", type=float, default=DEFAULTS.theta, metavar="COSINE", help=text)
    add("--absolute", action="store_true", help="a latent and its negative are the same latent")
    return parser
