"""What a check of this computer found; `tandem doctor` shows it.

A package adds checks of its own by an entry point in the group ``tandem.doctor``: a function without arguments that
returns findings. It must not need a running fleet.
"""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Callable, Iterable
from typing import Literal

from msgspec import Struct

Verdict = Literal["ok", "note", "problem"]
ENTRY_POINTS = "tandem.doctor"


class Finding(Struct, frozen=True):
    """One thing looked at. A ``problem`` keeps something from working, a ``note`` does not.

    ``fix`` says what to do about it, as a command where there is one.
    """

    check: str
    verdict: Verdict
    message: str
    fix: str = ""


Check = Callable[[], Iterable[Finding]]


def fine(check: str, message: str) -> Finding:
    return Finding(check, "ok", message)


def note(check: str, message: str, fix: str = "") -> Finding:
    return Finding(check, "note", message, fix)


def problem(check: str, message: str, fix: str = "") -> Finding:
    return Finding(check, "problem", message, fix)


def judge_requirements(check: str, extra: str = "") -> list[Finding]:
    """Whether every distribution Tandem (with ``extra``: that extra) is built on is installed."""
    try:
        declared = importlib.metadata.requires("tandem-fleet") or []
    except importlib.metadata.PackageNotFoundError:
        return [note(check, "Tandem runs from a folder and is not installed", "pip install -e .")]
    # PEP 508: "name[extras]>=1; extra == 'voice'".
    wanted = [
        line for line in declared if re.findall(r"extra == ['\"]([\w-]+)", line) == ([extra] if extra else [])
    ]
    names = [re.split(r"[^\w.-]", line, maxsplit=1)[0] for line in wanted]
    missing = [name for name in names if not _is_installed(name)]
    if missing:
        fix = f"pip install 'tandem-fleet[{extra}]'" if extra else f"pip install {' '.join(missing)}"
        return [problem(check, f"not installed: {', '.join(missing)}", fix)]
    return [fine(check, f"all {len(names)} are installed")]


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
