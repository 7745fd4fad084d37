"""Which definitions a function or class uses, found by following names from text to text."""

import ast
import hashlib
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache

from synthsae.user_code import stable_name

FUNCTION = ast.FunctionDef | ast.AsyncFunctionDef
Read = Callable[[str], str | None]
"""Full name of a module -> its source text; None for a module that is not followed."""


class Module:
    """The top level of one module.

    Attributes:
        bound: name -> the statements that bind it.
        imported: name -> (module, attribute) that it is imported from.
        effects: statements that bind no name.
    """

    def __init__(self, name: str, text: str, is_package: bool):
        self.name, self.is_package = name, is_package
        self.bound: dict[str, list[ast.stmt]] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        self.effects: list[ast.stmt] = []
        for statement in ast.parse(text).body:
            _strip(statement)
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


Parsed = dict[str, Module | None]
"""Full name of a module -> the module; None for a module that is not followed."""


class Modules:
    """The modules that are followed, each parsed once.

    Args:
        read: full name of a module -> its text; None for a module that is not followed.
        packages: names of our own packages.
        ours: modules of these packages that are parsed already; new ones are added.
    """

    def __init__(self, read: Read, packages: Sequence[str], ours: Parsed | None = None):
        self.read, self._packages = read, packages
        self._ours: Parsed = {} if ours is None else ours
        self._others: Parsed = {}

    def get(self, name: str) -> Module | None:
        """The module of that full name, or None."""
        known = self._ours if name.partition(".")[0] in self._packages else self._others
        if name not in known:
            text = self.read(name) if name else None
            known[name] = None if text is None else Module(name, text, self._is_package(name))
        return known[name]

    def _is_package(self, name: str) -> bool:
        if name in sys.modules:
            return hasattr(sys.modules[name], "__path__")
        found = importlib.util.find_spec(name)
        return bool(found and found.submodule_search_locations)


@dataclass
class Walk:
    """One walk from the roots to every definition that they use.

    Attributes:
        parts: "module:name" -> hash, of the definitions that were reached.
        attributes: names that were used as an attribute.
        waiting: name of a method -> methods whose class was reached, but whose name was not used.
        todo: definitions that were reached and have to be visited.
    """

    modules: Modules
    parts: dict[str, str] = field(default_factory=dict)
    attributes: set[str] = field(default_factory=set)
    waiting: dict[str, list[tuple[str, Module, ast.stmt]]] = field(default_factory=dict)
    todo: list[tuple[str, Module, list[ast.stmt]]] = field(default_factory=list)

    def run(self, names: Sequence[str]) -> dict[str, str]:
        """Name "module:name" -> hash of every definition that the roots "module:name" use."""
        for root in names:
            module, _, name = root.partition(":")
            self.reach(module, name.split("."))
        while self.todo:
            self._visit(*self.todo.pop())
        return self.parts

    def reach(self, module: str, chain: list[str]) -> None:
        """Reach the definition of `chain` [name, attribute, ...]; for no chain the whole module."""
        at = self.modules.get(module)
        if at is None:
            return
        self._add("", at, at.effects)
        name, rest = (chain[0], chain[1:]) if chain else ("", [])
        if name in at.bound:
            self._add(name, at, at.bound[name])
        elif name in at.imported:
            origin, attribute = at.imported[name]
            if at.imported[name] == (module, name):  # from . import name, in a package
                origin, attribute = f"{module}.{name}", ""
            self.reach(origin, ([attribute] if attribute else []) + rest)
        elif name and at.is_package:
            self.reach(f"{module}.{name}", rest)
        elif not name and not at.is_package:
            for each_name in at.bound:
                self.reach(module, [each_name])

    def _add(self, name: str, module: Module, statements: list[ast.stmt]) -> None:
        key = f"{stable_name(module.name)}:{name}"
        if key not in self.parts:
            self.parts[key] = ""
            self.todo.append((key, module, statements))

    def _visit(self, key: str, module: Module, statements: list[ast.stmt]) -> None:
        hashed: list[ast.stmt] = []
        for statement in statements:
            if isinstance(statement, ast.ClassDef):
                rest, methods = _split(statement)
                self._wait(module, statement.name, methods)
                statement = rest
            hashed.append(statement)
            self._follow(module, statement)
        self.parts[key] = _hash(tuple(hashed))

    def _wait(self, module: Module, class_name: str, methods: list[ast.stmt]) -> None:
        """Add the methods whose name was used as an attribute; the others wait until it is."""
        for method in methods:
            assert isinstance(method, FUNCTION)
            name = f"{class_name}.{method.name}"
            if method.name in self.attributes:
                self._add(name, module, [method])
            else:
                self.waiting.setdefault(method.name, []).append((name, module, method))

    def _follow(self, module: Module, statement: ast.stmt) -> None:
        """Reach the definition of every name that a statement uses."""
        inside, chains = _uses(statement)
        local: dict[str, tuple[str, str]] = {}
        for inner in inside:
            local |= imports(inner, module)
        for chain in chains:
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
            for method_name, module, method in self.waiting.pop(name, []):
                self._add(method_name, module, [method])


def imports(statement: ast.Import | ast.ImportFrom, module: Module) -> dict[str, tuple[str, str]]:
    """Local name -> (module, attribute) that a statement imports; attribute "" is the module."""
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
    """Names that a top-level statement binds."""
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
    """[name, attribute, ...] of every `name.attribute...`; name is "" for another expression."""
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


# Trees are not changed after `_strip`, so what follows from a statement is computed once.


def _strip(statement: ast.stmt) -> None:
    """Remove docstrings, and annotations of arguments and results, from a tree."""
    for node in ast.walk(statement):
        body = getattr(node, "body", None)
        if isinstance(body, list):
            node.body = [s for s in body if not _is_docstring(s)] or [ast.Pass()]  # type: ignore
        if isinstance(node, FUNCTION):
            node.returns = None
        if isinstance(node, ast.arg):
            node.annotation = None


@cache
def _split(found: ast.ClassDef) -> tuple[ast.ClassDef, list[ast.stmt]]:
    """A class without its methods, and the methods; `__magic__` methods stay in the class."""
    is_method = [isinstance(s, FUNCTION) and not s.name.startswith("__") for s in found.body]
    rest = [s for s, method in zip(found.body, is_method, strict=True) if not method]
    methods = [s for s, method in zip(found.body, is_method, strict=True) if method]
    fields = {name: getattr(found, name) for name in found._fields}
    return ast.ClassDef(**fields | {"body": rest or [ast.Pass()]}), methods


@cache
def _uses(statement: ast.stmt) -> tuple[list[ast.Import | ast.ImportFrom], list[list[str]]]:
    """The imports inside a statement, and `_chains` of the statement."""
    nodes = ast.walk(statement)
    inside = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    return inside, list(_chains(statement))


@cache
def _hash(statements: tuple[ast.stmt, ...]) -> str:
    return hash_of("\0".join(map(ast.dump, statements)))


def _is_docstring(statement: ast.stmt) -> bool:
    value = statement.value if isinstance(statement, ast.Expr) else None
    return isinstance(value, ast.Constant) and isinstance(value.value, str)


def _is_only_for_checkers_or_main(test: ast.expr) -> bool:
    """Whether a condition is `TYPE_CHECKING` or `__name__ == "__main__"`."""
    names = {inner.id for inner in ast.walk(test) if isinstance(inner, ast.Name)}
    return bool(names & {"TYPE_CHECKING", "__name__"})


def hash_of(text: str) -> str:
    """16 hexadecimal digits of the SHA-256 of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]
