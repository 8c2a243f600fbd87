"""What was known before: only what is new fails a build, and the trend is shown.

A finding is recognised by rule, file and the text of its line, not by line number, so edits elsewhere do not make
old findings new.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.audit.model import Finding
from tandem.core.errors import ConfigError


class Baseline(Struct, kw_only=True):
    """The findings of an earlier audit: fingerprint → how often, and how many of each rule. ``created`` is Unix seconds."""

    version: int = 1
    created: float
    findings: dict[str, int]
    rules: dict[str, int]


class Trend(Struct, frozen=True, kw_only=True):
    """What changed since the baseline was written (Unix seconds)."""

    since: float
    new: int
    fixed: int
    known: int
    rules: dict[str, int]
    """Rule → how many more (or, negative, fewer) findings than then."""


def fingerprint(finding: Finding) -> str:
    """What a finding is recognised by."""
    text = "\x00".join((finding.rule, finding.path, " ".join(finding.source.split())))
    return hashlib.blake2b(text.encode(), digest_size=10).hexdigest()


def record(findings: Iterable[Finding]) -> Baseline:
    """The baseline that knows all of ``findings``."""
    listed = list(findings)
    return Baseline(
        created=time.time(),
        findings=dict(sorted(Counter(map(fingerprint, listed)).items())),
        rules=dict(sorted(Counter(item.rule for item in listed).items())),
    )


def write(path: Path, findings: Iterable[Finding]) -> None:
    """Write the baseline of ``findings`` to ``path``."""
    path.write_bytes(msgspec.json.format(msgspec.json.encode(record(findings)), indent=1) + b"\n")


def read(path: Path) -> Baseline:
    """The baseline at ``path``. Raises :class:`ConfigError` when it is none."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=Baseline)
    except OSError as error:
        hint = "write one with --write-baseline"
        raise ConfigError(f"cannot read baseline {path}: {error.strerror}", hint=hint) from error
    except msgspec.DecodeError as error:
        raise ConfigError(
            f"{path} is no baseline: {error}", hint="write one with --write-baseline"
        ) from error


def compare(findings: Iterable[Finding], before: Baseline) -> tuple[list[Finding], Trend]:
    """The findings ``before`` does not know, and the trend."""
    listed = list(findings)
    left = Counter(before.findings)
    new = []
    for finding in listed:
        mark = fingerprint(finding)
        if left[mark] > 0:
            left[mark] -= 1
        else:
            new.append(finding)
    now = Counter(item.rule for item in listed)
    rules = {
        name: change
        for name in sorted({*now, *before.rules})
        if (change := now[name] - before.rules.get(name, 0))
    }
    fixed = sum(left.values())
    known = len(listed) - len(new)
    return new, Trend(since=before.created, new=len(new), fixed=fixed, known=known, rules=rules)
