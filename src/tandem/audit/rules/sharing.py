"""Which processes open which file: the common part of the rules about shared databases and logs."""

from __future__ import annotations

import re
from typing import Literal

from msgspec import Struct

from tandem.audit.project import Project
from tandem.audit.python.facts import PathArgument, Resource


class Opener(Struct, frozen=True):
    """One place that opens a file, and the entry points of the processes in which it runs."""

    path: str
    line: int
    column: int
    resource: Resource
    processes: frozenset[str]


def openers(project: Project, use: Literal["sqlite", "log"]) -> dict[str, list[Opener]]:
    """Resolved file → who opens it. Files only known at run time are left out."""
    found: dict[str, list[Opener]] = {}
    callers = _callers(project)
    for path, facts in project.modules.items():
        for item in facts.resources:
            if item.use != use:
                continue
            for file, line, column, by in _resolved(project, path, item, callers):
                processes = project.entries.users_of(by)
                found.setdefault(file, []).append(Opener(by, line, column, item, processes))
    return found


def _callers(project: Project) -> dict[str, list[tuple[str, PathArgument]]]:
    """Last part of a callee's name → the calls that hand it a file."""
    table: dict[str, list[tuple[str, PathArgument]]] = {}
    for path, facts in project.modules.items():
        for item in facts.path_arguments:
            table.setdefault(item.callee.rpartition(".")[2], []).append((path, item))
    return table


def _resolved(
    project: Project, path: str, item: Resource, callers: dict[str, list[tuple[str, PathArgument]]]
) -> list[tuple[str, int, int, str]]:
    """(file, line, column, opening module) of a resource: one for a path of its own, one a caller for a parameter."""
    parameter = re.fullmatch(r"<param (.+)#(\w+)>", item.path)
    if parameter is not None:
        return _from_callers(project, path, parameter.group(1), parameter.group(2), callers)
    file = constant(project, path, item.path)
    return [(file, item.line, item.column, path)] if file is not None else []


def _from_callers(
    project: Project, path: str, function: str, name: str, callers: dict[str, list[tuple[str, PathArgument]]]
) -> list[tuple[str, int, int, str]]:
    owner = function.removesuffix(".__init__")
    found = []
    for caller, call in callers.get(owner.rpartition(".")[2], ()):
        target = project.index.resolve(call.callee, caller)
        if target is None or (target.path, target.name) != (path, owner) or call.keyword not in ("", name):
            continue
        file = constant(project, caller, call.path)
        if file is not None:
            found.append((file, call.line, call.column, caller))
    return found


def constant(project: Project, path: str, written: str) -> str | None:
    """``written`` with the names of other modules' constants filled in; None when something stays unknown.

    The result of a function of the tree without arguments counts as known: it is the same file for every caller.
    """
    for _ in range(4):
        match = re.search(r"<([\w.]+)>", written)
        if match is None:
            break
        target = project.index.resolve(match.group(1), path)
        value = project.modules[target.path].paths.get(target.name) if target is not None else None
        if value is None:
            return None
        written = written.replace(match.group(0), value)
    called = re.search(r"<([\w.]+)\(\)>", written)
    if called is not None:
        target = project.index.resolve(called.group(1), path)
        if target is None:
            return None
        written = written.replace(called.group(0), f"<{target.path}:{target.name}()>")
    return None if "<param" in written or not re.search(r"\w", written) else written
