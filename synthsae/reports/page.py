"""The page: a report in one HTML file, for a browser without a network.

The template is `page.html`, with `page.css` and `page.js`. Tables are DataTables' (MIT), from the
package `itables`. What is the same without JavaScript is in the HTML; the table of all latents is
packed by SAE (JSON, gzip, base64) and read when the SAE is chosen.
"""

import base64
import gzip
import io
import json
from dataclasses import asdict
from datetime import date
from importlib.resources import files
from typing import TYPE_CHECKING, Any

import jinja2
import numpy as np
from matplotlib.figure import Figure

from synthsae.arrays import Array
from synthsae.plot.common import BLUE, GREEN, GREY, ORANGE, STYLE
from synthsae.plot.phrases import count, span
from synthsae.provenance import git_commit, versions
from synthsae.reports.verdicts import MEANING, Verdict

if TYPE_CHECKING:
    from synthsae.reports.reporting import Report

COLOURS = {
    Verdict.IDENTIFIABLE: BLUE,
    Verdict.DOUBLE: "#56B4E9",
    Verdict.SUBSPACE: GREEN,
    Verdict.STABLE: "#E69F00",
    Verdict.TOO_FEW: "#BBBBBB",
    Verdict.NOT_REPRODUCED: ORANGE,
    Verdict.DEAD: GREY,
}
"""Verdict -> colour."""
NO_METADATA: dict[str, Any] = dict.fromkeys(("Date", "Creator", "Format", "Type"))
SILENT: dict[str, Any] = {"Software": None}
MEMBERS_SHOWN = 400
"""Members of a subspace whose pairwise cosines the page shows, at most."""


def page(report: "Report", title: str = "Which latents are real?", command: str = "") -> str:
    """The report as one HTML file.

    Args:
        report: the report.
        title: heading of the page.
        command: how the report was made, to show.
    """
    saes = report.evidence.saes
    folder = files("synthsae.reports")
    tables = files("itables") / "html"
    template = jinja2.Environment(
        autoescape=True, trim_blocks=True, lstrip_blocks=True, undefined=jinja2.StrictUndefined
    ).from_string((folder / "page.html").read_text())
    return template.render(
        title=title,
        command=command,
        today=date.today().isoformat(),
        commit=git_commit(),
        versions=", ".join(f"{k} {v}" for k, v in json.loads(versions()).items()),
        definitions=asdict(saes.definitions),
        notes=saes.notes,
        level=report.evidence.level,
        claims=report.consensus.attrs["claims"],
        saes=_saes(report),
        lead=lead(report),
        summary=[_summary_row(name, row) for name, row in report.summary.iterrows()],
        verdicts=[_verdict(report, v) for v in Verdict],
        n_latents=len(report.latents),
        histogram=_svg(histogram(report)),
        identities=_identities(report),
        subspaces=_subspaces(report),
        css=_css((folder / "page.css").read_text()),
        js=(folder / "page.js").read_text(),
        table_css=_css((tables / "dt_bundle.css").read_text()),
        table_js=base64.b64encode((tables / "dt_bundle.js").read_bytes()).decode(),
        about=_json({"saes": list(saes.seeds), "verdicts": [v.value for v in Verdict]}),
        latents=[packed(report, s) for s in range(len(saes.seeds))],
    )


def lead(report: "Report") -> str:
    """The answer in one or two sentences: what one would publish."""
    n, claimed = len(report.identities), int(report.identities.claimed.sum())
    shares = report.summary.value
    if report.evidence.n_others < 2:
        return (
            f"Two SAEs: {shares.iloc[0]:.0%} of the latents of one are found in the other. "
            "Which latents are identifiable takes a third SAE."
        )
    ranks = sorted(set(report.subspaces["rank"].astype(int)))
    text = f"The SAEs share {count(n, 'direction')}"
    text += f", {claimed} of them claimed as features" * (claimed < n)
    text += f", and {count(len(report.subspaces), 'subspace')} of two dimensions or more"
    text += f" (rank {span(ranks, '.0f')})" if ranks else ""
    lost = report.counts[Verdict.NOT_REPRODUCED.value] / max(1, report.latents.live.sum())
    return (
        f"{text}. {shares.iloc[1]:.0%} of the live latents are stable, {lost:.0%} not reproduced."
    )


def histogram(report: "Report") -> Figure:
    """p_hat of the live latents of each verdict, as a histogram, and what chance gives."""
    from matplotlib import rc_context

    table, n = report.latents, report.evidence.n_others
    shown = [v for v in Verdict if v is not Verdict.DEAD and report.counts[v.value]]
    counts = [
        np.bincount((table.p_hat[table.verdict == v] * n).round().astype(int), minlength=n + 1)
        for v in shown
    ]
    with rc_context(STYLE | {"font.size": 11, "legend.fontsize": 10}):
        figure = Figure(figsize=(9, 3), layout="constrained")
        ax = figure.subplots()
        base = np.zeros(n + 1)
        for v, count in zip(shown, counts, strict=True):
            ax.bar(range(n + 1), count, bottom=base, color=COLOURS[v], label=v.value, width=0.8)
            base += count
        chance = report.summary.chance.iloc[0]
        expected = base.sum() * _binomial(n, chance)
        ax.plot(range(n + 1), expected, "k_", ms=22, mew=1.5, label="random directions")
        ax.set_xticks(range(n + 1))
        ax.set_xlabel(f"other SAEs, of {n}, in which the latent is found")
        ax.set_ylabel("live latents of all SAEs")
        ax.legend(loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def packed(report: "Report", s: int) -> str:
    """The rows of one SAE as columns, JSON, gzip, base64."""
    e = report.evidence
    rows = report.latents.loc[e.saes.seeds[s]]
    codes = rows.verdict.cat.codes
    near = e.counterparts
    columns: dict[str, Any] = {
        "latent": rows.index.tolist(),
        "verdict": codes.tolist(),
        "why": rows.why.tolist(),
        "other": near.latent[s, :, rows.index].tolist(),
        "cosine": [_rounded(c, 3) for c in near.cosine[s, :, rows.index]],
    }
    for name in ("identity", "subspace", "doubles"):
        columns[name] = rows[name].tolist()
    for name, digits in (
        ("p_hat", 3),
        ("p_hat_low", 3),
        ("p_hat_high", 3),
        ("rank", 1),
        ("deviation", 1),
    ):
        columns[name] = _rounded(rows[name].to_numpy(), digits)
    columns["rate"] = _rounded(rows.firing_rate.to_numpy(), 6)
    columns["energy"] = _rounded(rows.energy.to_numpy(), 6)
    if report.contexts:
        columns["contexts"] = [
            [list(passage) for _, passage in report.contexts.of(s, j)] for j in rows.index
        ]
    return base64.b64encode(gzip.compress(_json(columns).encode(), 6, mtime=0)).decode()


def _rounded(values: Array, digits: int) -> list[float | None]:
    """Numbers for JSON, which has no NaN."""
    return [round(float(v), digits) if np.isfinite(v) else None for v in values]


def _json(value: Any) -> str:
    """JSON that can stand in a script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _css(text: str) -> str:
    """Style sheet text that cannot end its element."""
    return text.replace("</", "<\\/")


def _saes(report: "Report") -> list[dict[str, Any]]:
    """Of each SAE: name, latents, how many have each verdict."""
    groups = report.latents.groupby("sae", sort=False, observed=True)
    return [
        {"name": name, "latents": len(rows), "live": int(rows.live.sum())} for name, rows in groups
    ]


def _summary_row(name: Any, row: Any) -> dict[str, str]:
    form = "{:.1f}" if "dimensions" in str(name) else "{:.1%}"
    p_hat = "p_hat" in str(name)
    form = "{:.3f}" if p_hat else form

    def text(value: float) -> str:
        return form.format(value) if np.isfinite(value) else ""

    ends = f"{text(row.low)} to {text(row.high)}" if np.isfinite(row.low) else "unknown"
    return {
        "name": str(name),
        "value": text(row.value),
        "interval": ends,
        "chance": text(row.chance),
    }


def _verdict(report: "Report", verdict: Verdict) -> dict[str, Any]:
    """A verdict with its share: of all latents for dead ones, of the live ones for others."""
    n, live = int(report.counts[verdict.value]), int(report.latents.live.sum())
    dead = verdict is Verdict.DEAD
    share = n / (len(report.latents) if dead else max(1, live))
    return {
        "name": verdict.value,
        "meaning": MEANING[verdict],
        "count": n,
        "share": f"{share:.1%}" + " of all" * dead,
        "colour": COLOURS[verdict],
        "width": 0 if dead else 100 * share,
    }


def _identities(report: "Report") -> list[dict[str, Any]]:
    """The rows of the list of identities."""
    latents = report.consensus.identity_latent.values
    return [
        {
            "number": i,
            "claimed": "yes" if row.claimed else "no",
            "found": int(row.found),
            "cosine": f"{row.cosine:.3f}",
            "q": f"{row.q:.2g}",
            "latents": [(s, int(j)) for s, j in enumerate(latents[i]) if j >= 0],
        }
        for i, row in report.identities.iterrows()
    ]


def _subspaces(report: "Report") -> list[dict[str, Any]]:
    """The rows of the list of subspaces, with members and their cosines."""
    ds, d = report.consensus, report.evidence.saes.directions
    out = []
    for g, row in report.subspaces.iterrows():
        members = np.argwhere(ds.subspace_member.values[g])  # [n, 2]: SAE, latent
        chosen = members[:MEMBERS_SHOWN]
        x = d[chosen[:, 0], chosen[:, 1]]
        same = chosen[:, None, 0] == chosen[None, :, 0]
        cosine = np.clip(np.abs(x @ x.T), 0, 1)
        upper = np.triu(np.ones_like(same), 1).astype(bool)
        out.append(
            {
                "number": g,
                "rank": f"{row['rank']:.0f}",
                "interval": f"{row.rank_low:.0f} to {row.rank_high:.0f}",
                "found": int(row.found),
                "q": f"{row.q:.2g}",
                "n": len(members),
                "within": _angle(cosine[same & upper]),
                "between": _angle(cosine[~same & upper]),
                "latents": [(int(s), int(j)) for s, j in members],
                "heat": _png(cosine),
            }
        )
    return out


def _angle(cosines: Array) -> str:
    """Median angle in degrees, as text."""
    return f"{np.degrees(np.arccos(np.median(cosines))):.0f}°" if cosines.size else ""


def _png(cosine: Array) -> str:
    """A matrix of |cosines| as a PNG in base64: white 0, black 1."""
    from matplotlib.image import imsave

    out = io.BytesIO()
    imsave(out, cosine, cmap="gray_r", vmin=0, vmax=1, format="png", metadata=SILENT)
    return base64.b64encode(out.getvalue()).decode()


def _svg(figure: Figure) -> str:
    """A figure as SVG text that can stand in HTML."""
    from matplotlib import rc_context

    out = io.StringIO()
    with rc_context({"svg.hashsalt": "synthsae", "svg.fonttype": "none"}):
        figure.savefig(
            out,
            format="svg",
            metadata=NO_METADATA,
            transparent=True,
        )
    text = out.getvalue()
    return text[text.index("<svg") :]


def _binomial(n: int, p: float) -> Array:
    from scipy.stats import binom

    mass: Array = binom.pmf(np.arange(n + 1), n, p)
    return mass
