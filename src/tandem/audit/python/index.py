"""The whole program's names: which file an import means, and what a class really derives from."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from functools import cached_property

from msgspec import Struct

from tandem.audit.python.facts import ClassFact, Import, ModuleFacts


class Definition(Struct, frozen=True):
    """A name found in the tree: the file and the dotted name within it (empty for the module itself)."""

    path: str
    name: str


def module_parts(path: str) -> tuple[str, ...]:
    """``a/b/__init__.py`` → ``(a, b)``, ``a/b.py`` → ``(a, b)``."""
    parts = path.removesuffix(".pyw").removesuffix(".py").split("/")
    return tuple(parts[:-1] if parts[-1] == "__init__" else parts)


class Index:
    """Resolves names over all modules of the tree.

    Old trees extend ``sys.path`` at will, so an absolute import is matched by the *end* of a file's path; of several
    candidates the one nearest to the importing file wins.
    """

    def __init__(self, modules: Mapping[str, ModuleFacts]) -> None:
        self.modules = modules
        self._by_tail: dict[str, list[tuple[tuple[str, ...], str]]] = {}
        for path in modules:
            parts = module_parts(path)
            if parts:
                self._by_tail.setdefault(parts[-1], []).append((parts, path))
        self._found: dict[tuple[str, str], str | None] = {}

    def module(self, dotted: str, importer: str) -> str | None:
        """The file that ``import dotted`` in ``importer`` loads, or None when it is not in the tree."""
        folder = posixpath.dirname(importer)
        key = (dotted, folder)
        if key not in self._found:
            self._found[key] = (
                self._relative(dotted, importer) if dotted.startswith(".") else self._absolute(dotted, folder)
            )
        return self._found[key]

    def _relative(self, dotted: str, importer: str) -> str | None:
        rest = dotted.lstrip(".")
        folder = posixpath.dirname(importer)
        for _ in range(len(dotted) - len(rest) - 1):
            folder = posixpath.dirname(folder)
        base = posixpath.join(folder, *rest.split(".")) if rest else folder
        return next((path for path in (f"{base}.py", f"{base}/__init__.py") if path in self.modules), None)

    def _absolute(self, dotted: str, folder: str) -> str | None:
        wanted = tuple(dotted.split("."))
        near = folder.split("/") if folder else []
        best: tuple[tuple[int, int, str], str] | None = None
        for parts, path in self._by_tail.get(wanted[-1], ()):
            if parts[-len(wanted) :] != wanted:
                continue
            prefix = parts[: -len(wanted)]
            shared = len(posixpath.commonprefix([list(prefix), near]))
            rank = (len(prefix) - shared, -shared, path)
            if best is None or rank < best[0]:
                best = (rank, path)
        return best[1] if best is not None else None

    def resolve(self, dotted: str, importer: str, depth: int = 8) -> Definition | None:
        """Where ``dotted``, as ``importer`` writes it with its imports applied, is defined in the tree."""
        if depth == 0 or not dotted:
            return None
        dots = dotted[: len(dotted) - len(dotted.lstrip("."))]
        names = dotted[len(dots) :].split(".")
        for size in range(len(names), 0, -1):
            path = self.module(dots + ".".join(names[:size]), importer)
            if path is not None and (size == len(names) or self._defines(path, names[size])):
                return self._follow(path, names[size:], depth)
        if dots:
            package = self.module(dots, importer)
            if package is not None:
                return self._follow(package, names, depth)
        return (
            self._follow(importer, names, depth) if not dots and self._defines(importer, names[0]) else None
        )

    def _defines(self, path: str, name: str) -> bool:
        facts = self.modules[path]
        return name in self._names[path] or any(
            item.local == name or item.name == "*" for item in facts.imports
        )

    @cached_property
    def _names(self) -> dict[str, frozenset[str]]:
        return {path: frozenset(facts.names) for path, facts in self.modules.items()}

    def _follow(self, path: str, names: list[str], depth: int) -> Definition | None:
        """The definition of ``names`` in ``path``, going on through what it imports from elsewhere."""
        if not names:
            return Definition(path, "")
        if names[0] in self._names[path]:
            return Definition(path, ".".join(names))
        for item in self.modules[path].imports:
            if item.name == "*":
                found = self.module(item.module, path)
                if found is not None and found != path and depth > 1 and self._defines(found, names[0]):
                    return self._follow(found, names, depth - 1)
            elif item.local == names[0]:
                return self.resolve(".".join([imported_name(item), *names[1:]]), path, depth - 1)
        return None

    # --- classes ---

    @cached_property
    def classes(self) -> dict[tuple[str, str], ClassFact]:
        """(file, name) → class, over the tree."""
        return {(path, fact.name): fact for path, facts in self.modules.items() for fact in facts.classes}

    def base_classes(self, path: str, fact: ClassFact) -> Iterator[tuple[str, Definition | None]]:
        """The bases of a class as written, each with its definition when that is a class of the tree."""
        for base in fact.bases:
            found = self.resolve(base, path)
            yield base, found if found is not None and (found.path, found.name) in self.classes else None

    @cached_property
    def _ancestors(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        return {}

    def ancestors(self, key: tuple[str, str]) -> list[tuple[str, str]]:
        """The classes of the tree a class derives from, nearest first."""
        known = self._ancestors.get(key)
        if known is not None:
            return known
        self._ancestors[key] = []
        found: list[tuple[str, str]] = []
        for _, base in self.base_classes(key[0], self.classes[key]):
            if base is not None and (base.path, base.name) != key:
                for item in ((base.path, base.name), *self.ancestors((base.path, base.name))):
                    if item not in found:
                        found.append(item)
        self._ancestors[key] = found
        return found

    @cached_property
    def descendants(self) -> dict[tuple[str, str], list[tuple[str, str]]]:
        """Class → the classes of the tree that derive from it."""
        table: dict[tuple[str, str], list[tuple[str, str]]] = {}
        for key in self.classes:
            for above in self.ancestors(key):
                table.setdefault(above, []).append(key)
        return table

    def method(self, key: tuple[str, str], name: str) -> tuple[str, str] | None:
        """The (file, qualified name) of the method a class answers ``name`` with."""
        for path, owner in (key, *self.ancestors(key)):
            if name in self.classes[path, owner].methods:
                return path, f"{owner}.{name}"
        return None


def imported_name(item: Import) -> str:
    """The dotted name an import binds: ``from a import b`` is ``a.b``."""
    if not item.name:
        return item.module if item.local != item.module.partition(".")[0] else item.local
    return f"{item.module}{item.name}" if item.module.endswith(".") else f"{item.module}.{item.name}"
