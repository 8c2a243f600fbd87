"""The guide: every rule is explained there, and its examples are what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tandem.audit import Options, audit
from tandem.audit.fix.plan import FIXABLE
from tandem.audit.rules.catalogue import BY_ID

GUIDE = (Path(__file__).parents[3] / "docs" / "audit.md").read_text(encoding="utf-8")


def examples(rule: str) -> list[str]:
    """The fenced examples below a rule's heading."""
    section = re.split(r"(?m)^##+ ", GUIDE.split(f"\n### `{rule}`:", 1)[1])[0]
    return re.findall(r"(?ms)^```\w+\n(.*?)^```$", section)


def reports(root: Path, text: str, rule: str) -> int:
    """How often a rule reports on an example."""
    for path, body in re.findall(r"(?ms)^# file: (\S+)\n(.*?)(?=^# file: |\Z)", text):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(body)
    return len(audit(Options(root=root, rules=frozenset({rule}), cache=False, jobs=1)).findings)


@pytest.mark.parametrize("rule", sorted(BY_ID))
def test_rule_has_a_bad_and_a_good_example(rule: str, tmp_path: Path) -> None:
    """The first example of a rule is reported, the second is not."""
    bad, good = examples(rule)
    assert reports(tmp_path / "bad", bad, rule) > 0
    assert reports(tmp_path / "good", good, rule) == 0


def test_guide_explains_no_rule_that_is_gone() -> None:
    """Every heading of a rule is a rule."""
    assert set(re.findall(r"(?m)^### `([\w-]+)`:", GUIDE)) == BY_ID.keys()


@pytest.mark.parametrize("rule", FIXABLE)
def test_guide_says_what_each_mend_does(rule: str) -> None:
    """Every mend has its line in the table."""
    assert f"| `{rule}` |" in GUIDE
