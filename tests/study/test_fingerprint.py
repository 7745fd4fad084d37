"""A fingerprint changes with what is reached, and with nothing else."""

import importlib
import textwrap

import pytest

from synthsae import scores
from synthsae.config import Config
from synthsae.sae import ARCHITECTURES
from synthsae.scores.run import Run, run_cell
from synthsae.study.fingerprint import Fingerprint, fingerprint, fingerprint_of, source

TRAINING = (run_cell, Config, ARCHITECTURES["topk"])
SCORES = (scores.block_stability, scores.reconstruction, scores.subspace_recovery)


def edited(module: str, old: str, new: str):
    """The sources of the package with one text replaced."""
    text = source(module)
    assert text is not None
    assert text.count(old) == 1, f"{old!r} comes {text.count(old)} times in {module}"
    return lambda name: text.replace(old, new) if name == module else source(name)


def affected(*edit: str) -> set[str]:
    """Which of a topk training and three scores an edit affects."""
    roots = {"training": TRAINING} | {score.__name__: (score, Run) for score in SCORES}
    read = edited(*edit)
    return {
        name
        for name, these in roots.items()
        if fingerprint_of(named(these), read).digest != fingerprint(*these).digest
    }


def named(roots) -> list[str]:
    return [f"{root.__module__}:{root.__qualname__}" for root in roots]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        # the definition of p_hat: the scores that report it
        (
            ("metrics.reappearance", "THETA = DEFAULTS.theta", "THETA = 0.1"),
            {"block_stability", "subspace_recovery"},
        ),
        # a kernel: the training
        (("sae.kernels", "values.relu_()", "values.relu_() * 1"), {"training"}),
        # an architecture that is not trained: nothing
        (("sae.kron", "range(most, 0, -1)", "range(most, 1, -1)"), set()),
        # a label: its own score
        (
            ("scores.stability", '"mean p_hat of a block', '"p_hat of a block'),
            {"block_stability"},
        ),
        # a comment and a docstring: nothing
        (("metrics.reappearance", "THETA = DEFAULTS.theta", "THETA = DEFAULTS.theta  # .7"), set()),
        (("sae.kernels", '"""Linear algebra', '"""Some linear algebra'), set()),
    ],
)
def test_an_edit_affects_what_reaches_it(edit, expected):
    module, old, new = edit
    assert affected(f"synthsae.{module}", old, new) == expected


def test_changed_names_the_definition():
    before = fingerprint(*TRAINING)
    read = edited("synthsae.sae.kernels", ".relu_()", ".relu_() * 1")
    after = fingerprint_of(named(TRAINING), read)
    assert after.changed(before) == ["synthsae.sae.kernels:top"]
    assert after.changed(before.parts) == after.changed(before)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Write modules `pkg.*`; returns the fingerprint of `pkg.a:score` in some state of them."""
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "pkg").mkdir()

    def made(**modules: str) -> Fingerprint:
        texts = {"pkg": ""} | {f"pkg.{n}": textwrap.dedent(t) for n, t in modules.items()}
        texts["pkg"] = texts.pop("pkg.init", "")
        for name in texts:
            file = "__init__" if name == "pkg" else name.split(".")[1]
            (tmp_path / "pkg" / f"{file}.py").write_text(texts[name])
        importlib.invalidate_caches()
        return fingerprint_of(["pkg.a:score"], texts.get)

    return made


BASE = {
    "a": """
        from pkg import b
        from pkg.c import constant as c, Thing
        def score(run: int) -> float:
            '''Words.'''
            from pkg.d import late
            return b.used(run) + c + late() + Thing().value
        def other(): return 1
    """,
    "b": """
        import math
        def used(x): return _inner(x)
        def _inner(x): return math.sqrt(x)
        def unused(x): return x
    """,
    "c": """
        constant = 1
        table = {}
        table["x"] = 2
        class Base:
            def value_of(self): return 3
        class Thing(Base):
            kind = 4
            def __init__(self): self.x = 5
            @property
            def value(self): return self.value_of()
            def never(self): return 6
    """,
    "d": "def late(): return 7\n",
}


@pytest.mark.parametrize(
    ("module", "old", "new", "differs"),
    [
        ("a", "+ c +", "- c +", True),
        ("a", "'''Words.'''", "'''Other words.'''", False),
        ("a", "run: int", "run: float", False),
        ("a", "def other(): return 1", "def other(): return 2", False),
        ("b", "math.sqrt(x)", "math.sin(x)", True),
        ("b", "def unused(x): return x", "def unused(x): return -x", False),
        ("c", "constant = 1", "constant = 8", True),
        ("c", 'table["x"] = 2', 'table["x"] = 8', True),  # what a module does when it is imported
        ("c", "return 3", "return 8", True),  # a method of a base class, reached by name
        ("c", "kind = 4", "kind = 8", True),
        ("c", "self.x = 5", "self.x = 8", True),
        ("c", "return 6", "return 8", False),  # a method that nobody asks for
        ("c", "(Base)", "(object)", True),
        ("d", "return 7", "return 8", True),  # imported inside the function
    ],
)
def test_names_are_followed(package, module, old, new, differs):
    assert BASE[module].count(old) == 1
    before, after = package(**BASE), package(**BASE | {module: BASE[module].replace(old, new)})
    assert (after.digest != before.digest) == differs


def test_names_are_followed_through_a_package(package):
    modules = {
        "init": "from pkg.b import used\n",
        "a": "import pkg\ndef score(): return pkg.used(1)\n",
    }
    before = package(**modules, b="def used(x): return x\n")
    assert package(**modules, b="def used(x): return -x\n").digest != before.digest


def test_one_module_under_two_names_is_one(package):
    direct = package(a="from pkg.b import used\ndef score(): return used(1)\n", b=BASE["b"])
    assert "pkg.b:_inner" in direct.parts
    assert "pkg.b:unused" not in direct.parts
