"""What can be mended in a tree: one rule after the other, each seeing what the one before it changed."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path

import libcst as cst
from msgspec import Struct

from tandem.audit.cache import Cache, code_version
from tandem.audit.fix import addresses, errors, health, imports, logs, sockets, syntax, timeouts
from tandem.audit.fix.edits import Mend, NameTaken, Patient
from tandem.audit.fix.patch import Change
from tandem.audit.fix.workspace import Text, copy_tree, read
from tandem.audit.model import Finding
from tandem.audit.rules.catalogue import BY_ID
from tandem.audit.scan import Audit, Options, audit, read_settings
from tandem.audit.walk import walk
from tandem.core.errors import ConfigError, Unavailable


class Fixer(Struct, frozen=True):
    """A mend and the rule whose findings it answers; ``find`` looks for them where no rule of the audit does."""

    rule: str
    mend: Mend
    find: Callable[[Audit], Iterable[Finding]] | None = None


def fixers(*, bus_only: bool = False) -> tuple[Fixer, ...]:
    """All mends in the order they must be made: files have to parse first, imports are tidied last."""
    return (
        Fixer("syntax-error", syntax.mend),
        Fixer("socket-outside-pool", sockets.mend),
        Fixer("recv-without-timeout", timeouts.mend),
        Fixer("zmq-error-publisher", errors.bus_only if bus_only else errors.add_bus),
        Fixer("health-dialect", health.mend),
        Fixer("log-without-rotation", logs.mend),
        Fixer("hardcoded-address", addresses.mend),
        Fixer("unused-import", imports.mend, imports.find),
    )


FIXABLE = tuple(fixer.rule for fixer in fixers())


class Plan(Struct, kw_only=True):
    """``changes`` are certain and may be written; ``suggestions`` come on top and are for people to judge."""

    root: Path
    changes: list[Change]
    suggestions: list[Change]
    notices: list[str]


def plan(
    root: Path, rules: Iterable[str] = FIXABLE, *, exclude: tuple[str, ...] = (), bus_only: bool = False
) -> Plan:
    """Work out the changes for a tree without touching it. Raises :class:`ConfigError` for a rule without a mend."""
    wanted = set(rules)
    unknown = wanted - set(FIXABLE)
    if unknown:
        raise ConfigError(
            f"there is no mend for {', '.join(sorted(unknown))}", hint=f"mends: {', '.join(FIXABLE)}"
        )
    base = root if root.is_dir() else root.parent
    found = walk(root, (*read_settings(base).exclude, *exclude))
    chosen = [fixer for fixer in fixers(bus_only=bus_only) if fixer.rule in wanted]
    notices: list[str] = []
    with tempfile.TemporaryDirectory(prefix="tandem-fix-") as name:
        copy = Path(name) / (base.absolute().name or "tree")
        copy.mkdir()
        copy_tree(base, found, copy)
        certain = _work(copy, chosen, notices, suggest=False)
        changes = _changes(certain, {path: read(base / path) for path in certain}, copy)
        middle = {
            entry.path: read(copy / entry.path) for entry in found.entries if (copy / entry.path).exists()
        }
        proposed = _work(copy, chosen, notices, suggest=True)
        suggestions = _changes(proposed, middle, copy)
    return Plan(root=base, changes=changes, suggestions=suggestions, notices=sorted(set(notices)))


def _changes(done: dict[str, list[str]], before: dict[str, Text], copy: Path) -> list[Change]:
    found = []
    for path, rules in sorted(done.items()):
        after = read(copy / path).text
        if after != before[path].text:
            found.append(Change(path, tuple(dict.fromkeys(rules)), before[path], after))
    return found


_ROUNDS = 5
"""One mend can make room for another (an import that only served what is gone); more rounds than this find nothing."""


def _work(copy: Path, chosen: list[Fixer], notices: list[str], *, suggest: bool) -> dict[str, list[str]]:
    """Apply the fixers to the copy until nothing changes; returns path → rules that changed it."""
    done: dict[str, list[str]] = defaultdict(list)
    memory = Cache(code_version())
    for _ in range(1 if suggest else _ROUNDS):
        before = sum(map(len, done.values()))
        for fixer in chosen:
            result = audit(Options(root=copy, rules=frozenset({fixer.rule} & BY_ID.keys())), memory)
            try:
                for path, findings in _patients(result, fixer).items():
                    if _mend(copy, path, findings, result, fixer, suggest):
                        done[path].append(fixer.rule)
            except Unavailable as error:
                notices.append(str(error))
        if sum(map(len, done.values())) == before:
            break
    return done


def _patients(result: Audit, fixer: Fixer) -> dict[str, list[Finding]]:
    """Path → the findings a fixer may act on."""
    by_path: dict[str, list[Finding]] = defaultdict(list)
    for finding in fixer.find(result) if fixer.find is not None else result.findings:
        if finding.path in result.project.modules and (finding.fixable or finding.rule == "syntax-error"):
            by_path[finding.path].append(finding)
    return by_path


def _mend(copy: Path, path: str, findings: list[Finding], result: Audit, fixer: Fixer, suggest: bool) -> bool:
    """Whether the file was changed. A change that does not compile is a mistake of ours and is dropped."""
    before = read(copy / path)
    try:
        after = fixer.mend(Patient(path, before.text, tuple(findings), result.project), suggest)
        encoded = before.encode(after)
    except (NameTaken, cst.ParserSyntaxError, cst.CSTValidationError, UnicodeEncodeError, RecursionError):
        return False
    if after == before.text or syntax.failure(after) is not None:
        return False
    (copy / path).write_bytes(encoded)
    return True
