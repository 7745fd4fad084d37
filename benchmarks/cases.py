"""What is timed, beside which libraries, and the ratios that are aimed at."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, replace

from jobs import Job

OURS, DENSE, LIMIT = "synthsae", "dense autograd", "arithmetic limit"
PEERS = (
    "SAELens",
    "dictionary_learning",
    "overcomplete",
    "overcomplete AuxK",
    "eai-sparsify",
    DENSE,
)
GROUPS = ("sizes", "tiny", "generated", "scaling")

S = Job(d=128, m=512, k=8, batch=4096, seeds=8)
L = Job(d=768, m=4096, k=32, batch=1024, seeds=8)
TINY = (
    Job(d=16, m=32, k=3, batch=256, seeds=64, trainings=4),
    Job(d=64, m=256, k=8, batch=256, seeds=64, trainings=4),
)

AIMS = {
    "SAELens": 4.0,
    "dictionary_learning": 4.0,
    "overcomplete": 3.5,
    "eai-sparsify": 2.0,
}
"""Times as fast as each library at S and L, on a CPU."""
AIM_TINY, AIM_GENERATED, AIM_CUDA = 10.0, 6.0, 50.0

CURVES: dict[str, tuple[int, ...]] = {
    "m": (128, 256, 512, 1024, 2048, 4096, 8192),
    "d": (32, 64, 128, 256, 512, 1024),
    "k": (2, 4, 8, 16, 32, 64),
    "seeds": (1, 2, 4, 8, 16, 32, 64),
    "batch": (256, 512, 1024, 2048, 4096, 8192, 16384),
}
"""The scaling curves: one field of S at a time."""


@dataclass(frozen=True)
class Case:
    """One job, the libraries timed on it side by side, and the ratio aimed at for each."""

    name: str
    job: Job
    libraries: tuple[str, ...]
    aims: dict[str, float] = field(default_factory=dict)


def cases(group: str, device: str = "cpu", quick: bool = False) -> list[Case]:
    """The cases of a group; `quick` runs the clock for a fraction of the time."""
    found = {"sizes": _sizes, "tiny": _tiny, "generated": _generated, "scaling": _scaling}
    scale = 0.25 if quick else 1.0
    every = [
        replace(c, job=replace(c.job, device=device, seconds=scale * c.job.seconds))
        for c in found[group](device)
    ]
    return every[::3] if quick and group == "scaling" else every


def _sizes(device: str) -> Iterator[Case]:
    aims = AIMS if device == "cpu" else {}
    for name, job in (("S", S), ("L", L)):
        for dead in (0.0, 0.1):
            title = f"{name}, {dead:.0%} dead"
            yield Case(title, replace(job, dead=dead), (OURS, *PEERS), aims)


def _tiny(device: str) -> Iterator[Case]:
    """Many seeds of small SAEs; on a GPU S counts among them."""
    libraries = tuple(p for p in PEERS if p != "overcomplete AuxK")
    aims = {p: AIM_TINY for p in libraries if p != DENSE}
    for job in TINY:
        yield Case(f"D {job.d}, M {job.m}, 64 seeds", job, (OURS, *libraries), aims)
    if device == "cuda":
        job = replace(S, seeds=64)
        yield Case("S, 64 seeds", job, (OURS, *libraries), {"SAELens": AIM_CUDA})


def _generated(device: str) -> Iterator[Case]:
    for name, job in (("S", S), ("L", L)):
        for threads in (1, 2) if device == "cpu" else (2,):
            title = f"{name}, {threads} thread{'s'[: threads - 1]}"
            job = replace(job, generate=True, threads=threads)
            yield Case(title, job, (OURS, "SAELens"), {"SAELens": AIM_GENERATED})


def _scaling(device: str) -> Iterator[Case]:
    for name, values in CURVES.items():
        for value in values:
            job = Job(**(asdict(S) | {name: value, "seconds": 1.0}))
            yield Case(f"{name} {value}", job, (OURS, DENSE, LIMIT))
