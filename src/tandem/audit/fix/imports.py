"""Imports nothing uses, by ruff's scope analysis, removed by libcst."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import libcst as cst
import msgspec
from msgspec import Struct

from tandem.audit.fix.edits import Edit, Patient, Tree, collect
from tandem.audit.linter import find_ruff
from tandem.audit.model import Finding, Severity
from tandem.audit.scan import Audit
from tandem.audit.source import is_test_path
from tandem.core.errors import Unavailable


class _Fix(Struct):
    applicability: str


class _Hit(Struct):
    filename: str
    message: str
    location: dict[str, int]
    fix: _Fix | None = None


def find(result: Audit) -> Iterator[Finding]:
    """Every import of the tree that nothing uses and whose removal ruff calls safe; the message is the imported name.

    Raises :class:`Unavailable` without a ruff.
    """
    ruff = find_ruff()
    if ruff is None:
        raise Unavailable(
            "unused imports are not looked for: ruff is not installed",
            hint="pip install 'tandem-fleet[audit]'",
        )
    done = subprocess.run(
        [ruff, "check", "--isolated", "--no-cache", "--select", "F401", "--output-format", "json", "--quiet", "."],
        cwd=result.root, capture_output=True, check=False,
    )  # fmt: skip
    if done.returncode not in (0, 1):
        raise Unavailable(f"unused imports are not looked for: ruff ended with status {done.returncode}")
    for hit in msgspec.json.decode(done.stdout or b"[]", type=list[_Hit]):
        path = Path(hit.filename).relative_to(result.root.absolute()).as_posix()
        facts = result.project.modules.get(path)
        usual = hit.fix is not None and hit.fix.applicability == "safe" and not path.endswith("__init__.py")
        if usual and facts is not None and facts.compiles and not is_test_path(path):
            name = hit.message.partition("`")[2].partition("`")[0]
            yield Finding(
                rule="unused-import", path=path, line=hit.location["row"], column=hit.location["column"], message=name,
                severity=Severity.NOTE, fixable=True,
            )  # fmt: skip


def mend(patient: Patient, suggest: bool) -> str:
    """Remove the unused imports of ``patient``; those with effects of their own only as a suggestion."""
    hits = {(finding.line, finding.message) for finding in patient.findings}
    tree = Tree(patient.text)
    wanted = _used_elsewhere(patient)
    edits: dict[cst.CSTNode, Edit] = {}
    for node in collect(tree, cst.Import, cst.ImportFrom).found:
        if not isinstance(node, (cst.Import, cst.ImportFrom)) or isinstance(node.names, cst.ImportStar):
            continue
        kept = [item for item in node.names if not _goes(patient, tree, node, item, hits, wanted, suggest)]
        if len(kept) < len(node.names):
            edits[node] = _without(kept)
    return tree.apply(edits)


def _without(kept: list[cst.ImportAlias]) -> Edit:
    def edit(updated: cst.CSTNode) -> cst.CSTNode | cst.RemovalSentinel:
        if not kept:
            return cst.RemoveFromParent()
        last = kept[-1].with_changes(comma=cst.MaybeSentinel.DEFAULT)
        return updated.with_changes(names=[*kept[:-1], last])

    return edit


def _goes(
    patient: Patient,
    tree: Tree,
    node: cst.Import | cst.ImportFrom,
    item: cst.ImportAlias,
    hits: set[tuple[int, str]],
    wanted: set[str],
    suggest: bool,
) -> bool:
    name = tree.code(item.name)
    if isinstance(node, cst.ImportFrom):
        module = "." * len(node.relative) + (tree.code(node.module) if node.module is not None else "")
        full = f"{module}{'' if module.endswith('.') else '.'}{name}"
    else:
        module = full = name
    local = (
        item.asname.name.value
        if item.asname is not None and isinstance(item.asname.name, cst.Name)
        else name.partition(".")[0]
    )
    spelt = f"{full} as {local}" if item.asname is not None else full
    lines = range(tree.line(node), tree.end(node)[0] + 1)
    if not any(line in lines and text in (full, spelt) for line, text in hits) or local in wanted:
        return False
    target = patient.project.index.module(module, patient.path) or patient.project.index.module(
        full, patient.path
    )
    return suggest or target is None or not patient.project.modules[target].runs_at_import


def _used_elsewhere(patient: Patient) -> set[str]:
    """Names other modules of the tree import from this one, or everything when one takes all."""
    names: set[str] = set()
    for path, facts in patient.project.modules.items():
        for item in facts.imports:
            if path != patient.path and patient.project.index.module(item.module, path) == patient.path:
                if item.name in ("", "*"):
                    return {entry.local for entry in patient.project.modules[patient.path].imports}
                names.add(item.name)
    return names
