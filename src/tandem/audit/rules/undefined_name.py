"""Names that are used and never defined, by ruff's scope analysis and the tree's own ``import *``."""

from __future__ import annotations

from collections.abc import Iterator

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.project import Project
from tandem.audit.python.facts import ModuleFacts, Undefined


def _project(project: Project) -> Iterator[Finding]:
    for path, facts in project.modules.items():
        for item in facts.undefined:
            if not item.star or _star_modules_lack(project, path, facts, item.name):
                yield _finding(path, item)


def _finding(path: str, item: Undefined) -> Finding:
    if item.exported:
        return RULE.at(
            path, item.line, item.column, f"`__all__` lists `{item.name}`, which the module does not define"
        )
    if item.annotation:
        return RULE.at(
            path, item.line, item.column, f"`{item.name}` in an annotation is defined nowhere", severity=Severity.NOTE,
            confidence=Confidence.MEDIUM,
        )  # fmt: skip
    return RULE.at(path, item.line, item.column, f"`{item.name}` is used but neither defined nor imported")


def _star_modules_lack(project: Project, path: str, facts: ModuleFacts, name: str) -> bool:
    """All ``import *`` of the file are of modules in the tree, and none of them offers ``name``."""
    stars = [item.module for item in facts.imports if item.name == "*"]
    return bool(stars) and all(_lacks(project, module, path, name, depth=6) for module in stars)


def _lacks(project: Project, module: str, importer: str, name: str, depth: int) -> bool:
    target = project.index.module(module, importer)
    if target is None or depth == 0:
        return False
    facts = project.modules[target]
    if not facts.compiles or facts.dynamic:
        return False
    if facts.exported is not None:
        return name not in facts.exported
    public = not name.startswith("_")
    if public and (
        name in facts.names or any(item.local == name for item in facts.imports) or "__all__" in facts.names
    ):
        return False
    return all(
        _lacks(project, item.module, target, name, depth - 1) for item in facts.imports if item.name == "*"
    )


RULE = Rule(
    id="undefined-name",
    title="A name is used that nothing defines",
    severity=Severity.ERROR,
    why=(
        "The file compiles, then stops with NameError when the line is reached; often an import was lost "
        "in a clean-up."
    ),
    how="Import or define the name, or correct its spelling.",
    project=_project,
)
