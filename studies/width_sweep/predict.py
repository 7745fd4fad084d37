"""Write prediction.json: latents of a block before training, for the settings of two studies.

    python -m synthsae.studies.width_sweep.predict

takes about ten minutes on one CPU core. The figure of this study reads the file.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from synthsae.theory.allocation import Parts, allocate, loss_curve

RECORD = Path(__file__).with_name("prediction.json")
MULTIPLES = (1 / 6, 1 / 3, 1 / 2, 1, 3 / 2, 2, 5 / 2, 3, 4, 6, 8, 12, 28)
"""Latents of a block, over its rank, for which the loss is minimised."""


def predicted(parts: Parts, sizes: tuple[int, ...]) -> list[dict[str, Any]]:
    """The allocation of each number of latents in `sizes`, as records."""
    left = max(1, -(-(max(sizes) - parts.n_isolated) // parts.n_blocks))
    m = sorted({min(left, max(1, round(x * parts.rank))) for x in MULTIPLES})
    curve = loss_curve(parts, m, starts=2)
    return [{"n_latents": n} | asdict(parts) | asdict(allocate(parts, n, curve)) for n in sizes]


if __name__ == "__main__":
    records = []
    for rank, k in ((6, 2), (6, 8), (4, 2), (4, 4)):
        parts = Parts(rank, k, n_blocks=3, block_p=0.15, n_isolated=24, isolated_p=0.05)
        records += predicted(parts, (24, 32, 48, 64, 96, 128, 256, 512))
    for rank in (1, 2, 3, 4, 6, 8, 12, 16):
        parts = Parts(
            rank, 4, n_blocks=4, block_p=0.15, n_isolated=32, isolated_p=0.05, law="gaussian"
        )
        records += predicted(parts, (256,))
    rows = ",\n ".join(
        json.dumps({k: round(v, 4) if isinstance(v, float) else v for k, v in r.items()})
        for r in records
    )
    RECORD.write_text(f"[\n {rows}\n]\n")
