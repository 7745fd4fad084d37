"""Every public function and class has a user: our own code, or a reader of the documentation.

What only tests call is an oracle, and belongs in `tests/`.
"""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("synthsae", "realdata")
PAGES = ("*.md", "docs/**/*.md", "synthsae/**/*.md", "realdata/*.md")
EXCEPTIONS = (
    "fingerprint_of",
    "latent_energy",
    "load_consensus",
)
"""Names without a user, to be documented, moved to `tests/` or deleted."""


def trees(*folders: str) -> list[ast.Module]:
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [ast.parse(path.read_text()) for path in paths]


def registered(node: ast.FunctionDef | ast.ClassDef) -> bool:
    """Is there a decorator that may put `node` into a table, where it is looked up?"""
    return any("dataclass" not in ast.unparse(d) for d in node.decorator_list)


def unused() -> set[str]:
    public = {
        node.name
        for tree in trees(*PACKAGES)
        for node in tree.body
        if isinstance(node, ast.FunctionDef | ast.ClassDef)
        and not node.name.startswith("_")
        and not registered(node)
    }
    nodes = [n for tree in trees(*PACKAGES, "studies", "benchmarks") for n in ast.walk(tree)]
    used = {n.id for n in nodes if isinstance(n, ast.Name)}
    used |= {n.attr for n in nodes if isinstance(n, ast.Attribute)}
    pages = [p for g in PAGES for p in ROOT.glob(g) if p.name != "CHANGELOG.md"]
    code = [c for p in pages for c in re.findall(r"`([^`]+)`", p.read_text())]
    documented = set(re.findall(r"\w+", " ".join(code)))
    return public - used - documented


def test_public_names_have_users() -> None:
    assert unused() <= set(EXCEPTIONS)
