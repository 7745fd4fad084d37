"""What a number depends on: a hash of the definitions that some functions and classes reach.

Names are followed from definition to definition, through imports, inside our own packages (and the
files beside a user's own). A method counts once its class is reached and an attribute of its name
is. Comments, docstrings, formatting and annotations of arguments do not count. What is chosen by a
string (a registry) is not seen: pass it as a root of its own.
"""

import ast
import hashlib
import importlib.util
import inspect
import sys
import sysconfig
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from synthsae.checks import ConfigError
from synthsae.user_code import LOCK, stable_name

OURS = ("synthsae", "realdata")
"""Packages that are followed; libraries are told apart by their versions, elsewhere."""
APART = ("synthsae.progress", "synthsae.deprecated")
"""Modules of ours that are not followed: what is shown on the screen, or only renames, is in no
number."""

STANDARD = tuple(sysconfig.get_paths()[kind] for kind in ("stdlib", "platstdlib"))
FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
Read = Callable[[str], str | None]
"""The source of a module by its full name; None for a module that is not followed."""


@dataclass(frozen=True)
class Fingerprint:
    """The hash of some code, and of each definition in it by name, to tell what has changed."""

    parts: dict[str, str]

    @cached_property
    def digest(self) -> str:
        """The hash of all parts, 16 hexadecimal digits."""
        return _hash("\0".join(f"{name}\0{part}" for name, part in sorted(self.parts.items())))

    def without(self, module: str) -> "Fingerprint":
        """The same but for what is in that module."""
        kept = {n: p for n, p in self.parts.items() if n.partition(":")[0] != module}
        return Fingerprint(kept)

    def changed(self, before: "Fingerprint | dict[str, str]") -> list[str]:
        """The names of definitions that are not what they were: changed, new or gone."""
        old = before.parts if isinstance(before, Fingerprint) else before
        every = sorted(self.parts.keys() | old.keys())
        return [name for name in every if self.parts.get(name) != old.get(name)]


@cache
def fingerprint(*roots: Any) -> Fingerprint:
    """The fingerprint of all that these functions and classes reach.

    A root is at the top of a module, or the name "module:name" of what is; the text is that of now,
    and what is defined anew is another root.
    Raises ConfigError for a root that is not at the top of a .py file.
    """
    with LOCK:
        return _Walk(_Modules(source, known=_own())).run([_name(root) for root in roots])


def fingerprint_of(names: Sequence[str], read: Read) -> Fingerprint:
    """The same of roots "module:name" in modules whose text `read` returns."""
    return _Walk(_Modules(read)).run(names)


def source(module: str) -> str | None:
    """The text of a module of ours, or of a user's own file as it was imported; else None."""
    if module in APART:
        return None
    if module.partition(".")[0] in OURS:
        found = importlib.util.find_spec(module)
        path = found and found.origin
        return Path(path).read_text(encoding="utf-8") if path and path.endswith(".py") else None
    loaded = sys.modules.get(module)
    file = getattr(loaded, "__file__", None)
    if loaded is None or file is None or _is_library(file):
        return None
    return inspect.getsource(loaded)


@cache
def _own() -> "dict[str, _Module | None]":
    """Our own modules, which stay what they are while a process runs; parsed as they are asked."""
    return {}


def _name(root: Any) -> str:
    if isinstance(root, str):
        return root
    try:
        module, name = root.__module__, root.__qualname__
        if getattr(sys.modules[module], name, None) is root and source(module) is not None:
            return f"{module}:{name}"
    except (AttributeError, OSError, TypeError, KeyError):
        pass
    raise ConfigError("score", root, "a function at the top of a .py file")


def _is_library(file: str) -> bool:
    """Whether a file belongs to Python or to an installed package."""
    installed = {"site-packages", "dist-packages"} & set(Path(file).parts)
    return bool(installed) or file.startswith(STANDARD)


class _Module:
    """The top level of one module: what binds each name, what is imported, and the rest."""

    def __init__(self, name: str, text: str, is_package: bool):
        self.name, self.is_package = name, is_package
        self.bound: dict[str, list[ast.stmt]] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        self.effects: list[ast.stmt] = []
        for statement in ast.parse(text).body:
            self._take(statement)

    def _take(self, statement: ast.stmt) -> None:
        if isinstance(statement, ast.Import | ast.ImportFrom):
            self.imported |= imports(statement, self)
        elif isinstance(statement, ast.If) and _is_only_for_checkers_or_main(statement.test):
            pass
        elif isinstance(statement, ast.If | ast.Try | ast.With):
            for inner in ast.walk(statement):
                if isinstance(inner, ast.Import | ast.ImportFrom):
                    self.imported |= imports(inner, self)
            self._bind(statement)
        elif not _is_docstring(statement):
            self._bind(statement)

    def _bind(self, statement: ast.stmt) -> None:
        names = list(_binds(statement))
        for name in names:
            self.bound.setdefault(name, []).append(statement)
        if not names:
            self.effects.append(statement)


class _Modules:
    """The modules that are followed, parsed once."""

    def __init__(self, read: Read, known: "dict[str, _Module | None] | None" = None):
        self.read, self._own = read, {} if known is None else known
        self._others: dict[str, _Module | None] = {}

    def get(self, name: str) -> _Module | None:
        known = self._own if name.partition(".")[0] in OURS else self._others
        if name not in known:
            text = self.read(name) if name else None
            known[name] = None if text is None else _Module(name, text, self._is_package(name))
        return known[name]

    def _is_package(self, name: str) -> bool:
        if name in sys.modules:
            return hasattr(sys.modules[name], "__path__")
        found = importlib.util.find_spec(name)
        return bool(found and found.submodule_search_locations)


@dataclass
class _Walk:
    """One walk from the roots to everything that they reach."""

    modules: _Modules
    parts: dict[str, str] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    waiting: dict[str, list[tuple[str, _Module, ast.stmt]]] = field(default_factory=dict)
    todo: list[tuple[str, _Module, list[ast.stmt]]] = field(default_factory=list)

    def run(self, names: Sequence[str]) -> Fingerprint:
        for root in names:
            module, _, name = root.partition(":")
            self.reach(module, name.split("."))
        while self.todo:
            self._visit(*self.todo.pop())
        return Fingerprint(self.parts)

    def reach(self, module: str, chain: list[str]) -> None:
        """Reach what `chain` [name, attribute, ...] means in the module; all of it for no chain."""
        at = self.modules.get(module)
        if at is None:
            return
        self._add("", at, at.effects)
        name, rest = (chain[0], chain[1:]) if chain else ("", [])
        if name in at.bound:
            self._add(name, at, at.bound[name])
        elif name in at.imported:
            origin, attribute = at.imported[name]
            if (origin, attribute) == (module, name):  # a package's own module: from . import name
                origin, attribute = f"{module}.{name}", ""
            self.reach(origin, ([attribute] if attribute else []) + rest)
        elif name and at.is_package:
            self.reach(f"{module}.{name}", rest)
        elif not name and not at.is_package:
            for every in at.bound:
                self.reach(module, [every])

    def _add(self, name: str, module: _Module, statements: list[ast.stmt]) -> None:
        key = f"{stable_name(module.name)}:{name}"
        if key not in self.parts:
            self.parts[key] = ""
            self.todo.append((key, module, statements))

    def _visit(self, key: str, module: _Module, statements: list[ast.stmt]) -> None:
        texts = []
        for statement in statements:
            if isinstance(statement, ast.ClassDef):
                statement = self._class(module, statement)
            texts.append(ast.dump(_bare(statement)))
            self._follow(module, statement)
        self.parts[key] = _hash("\0".join(texts))

    def _class(self, module: _Module, found: ast.ClassDef) -> ast.ClassDef:
        """The class without the methods that wait for an attribute of their name."""
        kept: list[ast.stmt] = []
        for inner in found.body:
            if not isinstance(inner, FUNCTION) or inner.name.startswith("__"):
                kept.append(inner)
            elif inner.name in self.attributes:
                self._add(f"{found.name}.{inner.name}", module, [inner])
            else:
                waits = (f"{found.name}.{inner.name}", module, inner)
                self.waiting.setdefault(inner.name, []).append(waits)
        fields = {name: getattr(found, name) for name in found._fields} | {"body": kept}
        return ast.copy_location(ast.ClassDef(**fields), found)

    def _follow(self, module: _Module, statement: ast.stmt) -> None:
        """Reach every name that a statement uses."""
        bare = _bare(statement)
        local: dict[str, tuple[str, str]] = {}
        for inner in ast.walk(bare):
            if isinstance(inner, ast.Import | ast.ImportFrom):
                local |= imports(inner, module)
        for chain in _chains(bare):
            for attribute in chain[1:]:
                self._attribute(attribute)
            if chain[0] in local:
                origin, attribute = local[chain[0]]
                self.reach(origin, ([attribute] if attribute else []) + chain[1:])
            elif chain[0] in module.bound or chain[0] in module.imported:
                self.reach(module.name, chain)

    def _attribute(self, name: str) -> None:
        if name not in self.attributes:
            self.attributes.add(name)
            for method_of, module, method in self.waiting.pop(name, []):
                self._add(method_of, module, [method])


def imports(statement: ast.Import | ast.ImportFrom, module: _Module) -> dict[str, tuple[str, str]]:
    """Local name -> (module, attribute) of what a statement imports; "" for the module itself."""
    if isinstance(statement, ast.Import):
        return {
            alias.asname or alias.name.partition(".")[0]: (
                alias.name if alias.asname else alias.name.partition(".")[0],
                "",
            )
            for alias in statement.names
        }
    origin = statement.module or ""
    if statement.level:
        up = statement.level - module.is_package
        base = module.name.split(".")[: len(module.name.split(".")) - up]
        origin = ".".join([*base, *([origin] if origin else [])])
    return {alias.asname or alias.name: (origin, alias.name) for alias in statement.names}


def _binds(statement: ast.stmt) -> Iterator[str]:
    """The names that a top-level statement binds."""
    if isinstance(statement, FUNCTION | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        for target in targets:
            for inner in ast.walk(target):
                if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store):
                    yield inner.id
    elif isinstance(statement, ast.If | ast.Try | ast.With | ast.For):
        for inner in ast.iter_child_nodes(statement):
            if isinstance(inner, ast.stmt):
                yield from _binds(inner)


def _chains(node: ast.AST) -> Iterator[list[str]]:
    """[name, attribute, ...] of every `name.attribute...`; "" for a name that is an expression."""
    if isinstance(node, ast.Name):
        yield [node.id]
    elif isinstance(node, ast.Attribute):
        after, base = [node.attr], node.value
        while isinstance(base, ast.Attribute):
            after.insert(0, base.attr)
            base = base.value
        yield [base.id if isinstance(base, ast.Name) else "", *after]
        if not isinstance(base, ast.Name):
            yield from _chains(base)
    else:
        for inner in ast.iter_child_nodes(node):
            yield from _chains(inner)


class _Bare(ast.NodeTransformer):
    """Leaves out docstrings, and the annotations and types of arguments."""

    def visit(self, node: ast.AST) -> ast.AST:
        node = self.generic_visit(node)
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not _is_docstring(s)] or [ast.Pass()]  # type: ignore
        if isinstance(node, FUNCTION):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None
        return node


@cache
def _bare(statement: ast.stmt) -> ast.stmt:
    bare = _Bare().visit(deepcopy(statement))
    assert isinstance(bare, ast.stmt)
    return bare


def _is_docstring(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_only_for_checkers_or_main(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING` or `__name__ == "__main__"`."""
    names = {inner.id for inner in ast.walk(test) if isinstance(inner, ast.Name)}
    return bool(names & {"TYPE_CHECKING", "__name__"})


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
