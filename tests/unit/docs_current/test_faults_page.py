"""The page of faults names tests, and they are there."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]
SECTION = "## What users of other supervisors complain of"
COMPLAINTS = 25


def test_every_complaint_has_tests_that_exist() -> None:
    """Each row of the table of complaints names at least one test or module of tests, spelled as it is."""
    page = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8").partition(SECTION)[2]
    rows = [line.split("|")[3] for line in page.splitlines() if line.startswith("|")][2:]
    files = list((ROOT / "tests").rglob("test_*.py"))
    known = {path.name for path in files}
    for path in files:
        known.update(re.findall(r"^(?:async )?def (test_\w+)\(", path.read_text(encoding="utf-8"), re.MULTILINE))
    assert len(rows) == COMPLAINTS
    for row in rows:
        named = re.findall(r"`(test_[\w.]+)`", row)
        assert named and set(named) <= known, (row, sorted(set(named) - known))
