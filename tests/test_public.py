"""Every public function and class has a user: our own code, or a reader of the documentation.

What only tests call is an oracle, and belongs in `tests/`.
"""

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("synthsae", "realdata")
PAGES = ("*.md", "docs/**/*.md", "synthsae/**/*.md", "realdata/*.md")
FOUND_AT_RUN_TIME = {
    "realdata.compare.main",  # `synthsae compare` imports realdata only when asked
    "synthsae.sae.ragged.by_latent",  # `of` is either kernels or ragged
    "synthsae.sae.ragged.residual",
    "synthsae.study.fingerprint.fingerprint_of",  # fingerprint() of files that change in a test
    "synthsae.train.adam_cuda.squares",  # kernels that Adam compiles when it first sees a GPU
    "synthsae.train.adam_cuda.step",
}
"""Public names that no module reaches by a path that can be read from its text."""


def files(*folders: str) -> Iterator[Path]:
    return (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))


def module(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


TREES = {
    module(path): ast.parse(path.read_text()) for path in files(*PACKAGES, "studies", "benchmarks")
}


@cache
def imported(name: str) -> dict[str, str]:
    """What each name that module `name` imports stands for, as a dotted path."""
    found = {}
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Import):
            found |= {a.asname: a.name for a in node.names if a.asname}
            found |= {(top := a.name.split(".")[0]): top for a in node.names if not a.asname}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found |= {a.asname or a.name: f"{node.module}.{a.name}" for a in node.names}
    return found


def origin(path: str) -> str:
    """Where the object of a dotted path is defined: re-exports are followed."""
    while True:
        owner, _, name = path.rpartition(".")
        if owner not in TREES or imported(owner).get(name, path) == path:
            return path
        path = imported(owner)[name]


def dotted(node: ast.AST) -> str:
    """`a.b.c` of an expression that is names and dots only; "" of any other."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (left := dotted(node.value)):
        return f"{left}.{node.attr}"
    return ""


def used() -> set[str]:
    """Definitions that a module names, as a dotted path each."""
    found = set()
    for name, tree in TREES.items():
        for node in ast.walk(tree):
            if not (path := dotted(node)):
                continue
            first, dot, rest = path.partition(".")
            found.add(origin(imported(name).get(first, f"{name}.{first}") + dot + rest))
    return found


def registered(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """Is there a decorator that may put `node` into a table, where it is looked up?"""
    return any("dataclass" not in ast.unparse(d) for d in node.decorator_list)


def public() -> set[str]:
    """Public functions and classes of the packages, as a dotted path each."""
    return {
        f"{name}.{node.name}"
        for name, tree in TREES.items()
        if name.split(".")[0] in PACKAGES
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not registered(node)
    }


def documented() -> set[str]:
    """Words in code blocks and code spans of the documentation."""
    pages = [p for g in PAGES for p in ROOT.glob(g) if p.name != "CHANGELOG.md"]
    blocks = [c for p in pages for c in re.findall(r"```.*?```|`[^`]+`", p.read_text(), re.DOTALL)]
    return set(re.findall(r"\w+", " ".join(blocks)))


def test_public_names_have_users() -> None:
    words = documented()
    unused = {path for path in public() - used() if path.rpartition(".")[2] not in words}
    assert unused == FOUND_AT_RUN_TIME
