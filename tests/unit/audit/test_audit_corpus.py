"""How well each rule does on the labelled cases."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem.audit.corpus import Case, Verdict, judge, read_corpus, score
from tandem.audit.rules.catalogue import BY_ID

CORPUS = Path(__file__).parents[2] / "corpus"
CASES = list(read_corpus(CORPUS))
UNSEEN = list(read_corpus(CORPUS / "heldout"))


def told(verdicts: list[Verdict]) -> str:
    """The wrong verdicts, one a line."""
    return "\n".join(
        f"{item.case.rule}: {item.case.title}: missed {sorted(item.missed)}, invented {sorted(item.invented)}"
        for item in verdicts
        if not item.right
    )


def test_corpus_has_at_least_300_cases() -> None:
    """The corpus holds at least 300 labelled cases."""
    assert len(CASES) >= 300


@pytest.mark.parametrize("rule", sorted(BY_ID))
def test_corpus_has_both_sides_of_every_rule(rule: str) -> None:
    """Every rule has cases in which it must report and near-misses in which it must not."""
    cases = [case for case in CASES if case.rule == rule]
    assert [case for case in cases if case.expected]
    assert [case for case in cases if not case.expected]


def test_every_case_is_of_a_rule() -> None:
    """No case is filed under a name that is no rule, where it would never be checked."""
    assert {case.rule for case in CASES + UNSEEN} <= BY_ID.keys()


@pytest.mark.parametrize("rule", sorted(BY_ID))
def test_rule_is_precise_and_complete(rule: str) -> None:
    """On the corpus at least 95% of a rule's reports are right and at least 90% of the faults are found."""
    verdicts = [judge(case) for case in CASES if case.rule == rule]
    (result,) = score(verdicts)
    assert result.precision >= 0.95, told(verdicts)
    assert result.recall >= 0.90, told(verdicts)


@pytest.mark.parametrize("case", UNSEEN, ids=lambda case: f"{case.rule}: {case.title}")
def test_held_out_cases_stay_right(case: Case) -> None:
    """Cases written after the rules, and since then only used to check them, are judged right."""
    verdict = judge(case)
    assert verdict.right, told([verdict])
