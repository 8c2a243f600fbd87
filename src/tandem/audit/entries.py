"""Where processes start: scripts named by configurations, Compose files, shells and packages, and main guards."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from tandem.audit.fleet.sniff import mentions
from tandem.audit.python.facts import ModuleFacts
from tandem.audit.python.index import imported_name
from tandem.audit.source import is_test_path

if TYPE_CHECKING:
    from tandem.audit.project import Project


class Entries(Struct):
    """``declared``: files somebody names as what to run; ``roots``: these and every file that can be run by itself.

    ``loads``: root → all files of the tree it imports, itself included. ``near``: root → those at most two imports
    away, packages' ``__init__`` files not counted: what a program imports so directly it is likely to use.
    """

    declared: frozenset[str]
    roots: frozenset[str]
    loads: dict[str, frozenset[str]]
    near: dict[str, frozenset[str]]

    def users_of(self, path: str) -> frozenset[str]:
        """The entry points likely to run what ``path`` does."""
        return frozenset(root for root, loaded in self.near.items() if path in loaded)


def find_entries(project: Project) -> Entries:
    """All entry points of the tree with what they load."""
    declared = frozenset(_declared(project))
    guarded = {
        path for path, facts in project.modules.items() if facts.is_entry and not is_test_path(path)
    }  # fmt: skip
    roots = declared | guarded
    graph = {path: _imports(project, path, facts) for path, facts in project.modules.items()}
    direct = {
        path: {item for item in found if not item.endswith("__init__.py")} for path, found in graph.items()
    }
    return Entries(
        declared,
        frozenset(roots),
        {root: frozenset(_closure(graph, root)) for root in roots},
        {root: frozenset(_closure(direct, root, steps=2)) for root in roots},
    )


def _closure(graph: dict[str, set[str]], root: str, steps: int = 1_000_000) -> set[str]:
    """What can be reached from ``root`` in at most ``steps`` imports."""
    seen = {root}
    edge = {root}
    while edge and steps > 0:
        edge = set().union(*(graph.get(path, ()) for path in edge)) - seen
        seen |= edge
        steps -= 1
    return seen


def _imports(project: Project, path: str, facts: ModuleFacts) -> set[str]:
    found: set[str] = set()
    for item in facts.imports:
        for dotted in (imported_name(item) if item.name != "*" else item.module, item.module):
            target = project.index.module(dotted, path)
            if target is not None:
                found.add(target)
                found.update(_packages(project, target))
    for text in facts.strings:
        target = _named(project, text, path)
        if target is not None:
            found.add(target)
    if path.endswith("/__main__.py"):
        found.add(path.removesuffix("__main__.py") + "__init__.py")
    return (found & project.modules.keys()) - {path}


def _packages(project: Project, path: str) -> Iterator[str]:
    """The ``__init__`` files that importing ``path`` runs."""
    folder = posixpath.dirname(path)
    while folder:
        init = f"{folder}/__init__.py"
        if init not in project.modules:
            return
        yield init
        folder = posixpath.dirname(folder)


def _named(project: Project, text: str, importer: str) -> str | None:
    """The file a string names, as a path or as a dotted module (``pkg.mod:Class``)."""
    if text.endswith((".py", ".pyw")):
        return script(project, text, importer)
    module = text.partition(":")[0]
    for candidate in (module, module.rpartition(".")[0]):
        if candidate.count(".") or candidate == text:
            found = project.index.module(candidate, importer) if candidate else None
            if found is not None:
                return found
    return None


def script(project: Project, written: str, near: str = "") -> str | None:
    """The file of the tree that a configuration or command means by ``written``.

    A path counts from the tree's root, from the file that names it, or from any folder above (``/app/agents/x.py``).
    """
    path = posixpath.normpath(re.sub(r"\$\{?\w+\}?/?", "", written)).lstrip("/")
    for folder in ("", posixpath.dirname(near), posixpath.dirname(posixpath.dirname(near))):
        candidate = posixpath.normpath(posixpath.join(folder, path))
        if candidate in project.modules or project.exists(candidate):
            return candidate
    parts = path.split("/")
    for start in range(len(parts) - 1) if written.startswith(("/", "$")) else ():
        tail = "/".join(parts[start:])
        if tail in project.modules:
            return tail
    return None


def _declared(project: Project) -> Iterator[str]:
    for agent in project.declared:
        if agent.script is not None:
            found = script(project, agent.script.text, agent.path)
            if found is not None:
                yield found
    for path, facts in project.texts.items():
        yield from _mentioned(project, path, facts.mentions)
    for path in project.others:
        if path.rpartition("/")[2] in ("Makefile", "Procfile", "Justfile", "justfile"):
            yield from _mentioned(project, path, mentions(project.read(path)))
    for path in project.modules:
        if path.rpartition("/")[2] in (
            "setup.py",
            "conftest.py",
            "manage.py",
            "wsgi.py",
            "asgi.py",
            "noxfile.py",
        ):
            yield path
    for named in project.settings.entry_points:
        found = script(project, named) if named.endswith(".py") else project.index.module(named, "")
        if found is not None:
            yield found


def _mentioned(project: Project, path: str, names: list[str]) -> Iterator[str]:
    """Scripts and modules that a shell script, unit, image or manifest runs."""
    for name in names:
        if name.endswith(".py"):
            found = script(project, name, path)
        else:
            found = project.index.module(f"{name}.__main__", "") or project.index.module(name, "")
        if found is not None and found in project.modules:
            yield found
