"""Kinds of tasks, prompts and the check of code."""

from __future__ import annotations

from datetime import datetime

import pytest

from tandem_agents.language_processing.code_check import python_error
from tandem_agents.language_processing.prompts import conversation, relevant_turns, system_prompt
from tandem_agents.language_processing.task_kinds import classify
from tandem_agents.memory_system.contracts import Interaction


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write a python function that sorts a list", "code"), ("fix the bug in this script", "code"),
        ("why does ice float", "reasoning"), ("compare trains and buses", "reasoning"), ("if I have 3 apples and eat one, how many are left", "reasoning"),
        ("what is the exchange rate of the peso", "tool"), ("who wrote Noli Me Tangere", "chat"), ("tell me a story", "chat"), ("", "chat"),
    ],
)  # fmt: skip
def test_kinds_of_tasks(text: str, kind: str) -> None:
    """Code, reasoning and questions about the world of today are told from talk."""
    assert classify(text) == kind


def test_the_prompt_says_when_and_what_is_remembered() -> None:
    """A model knows the date and time, its language, and the user's own words."""
    prompt = system_prompt("Tandem", datetime(2026, 3, 4, 15, 5), "fil", "chat", ["the boiler code is 4711"])
    for part in ("Tandem", "Wednesday, March 4, 2026", "3:05 PM", "Filipino", "- the boiler code is 4711"):
        assert part in prompt


def test_a_conversation_alternates() -> None:
    """Recent turns stand between the system prompt and the question."""
    messages = conversation(
        "be brief",
        [Interaction(said="hi", answer="hello"), Interaction(said="silent", answer="")],
        "and now?",
    )
    assert [(m.role, m.content) for m in messages] == [
        ("system", "be brief"), ("user", "hi"), ("assistant", "hello"), ("user", "silent"), ("user", "and now?"),
    ]  # fmt: skip


def test_only_turns_a_follow_up_may_refer_to_are_shown() -> None:
    """Courtesies, refusals and repeated answers stay out of the prompt; of the rest the newest three go in."""
    turns = [
        Interaction(said=said, answer=answer, intent=intent)
        for said, answer, intent in (
            ("a", "old", "question"), ("b", "1", "question"), ("c", "hello", "greeting"), ("d", "same", "question"),
            ("e", "same", "question"), ("f", "42", "sum"), ("g", "cannot", "device"),
        )
    ]  # fmt: skip
    assert [turn.said for turn in relevant_turns(turns)] == ["b", "e", "f"]


@pytest.mark.parametrize(
    ("answer", "wrong"),
    [
        ("```python\nprint(1)\n```", False), ("```python\nprint(1\n```", True), ("no code", False), ("```js\nlet a = {\n```", False),
        ("```py\nok = 1\n```\n```python\ndef f(:\n```", True), ("```python\n" + "(" * 500 + "\n```", True),
    ],
)  # fmt: skip
def test_code_is_parsed(answer: str, wrong: bool) -> None:
    """Only fenced Python is judged, and nothing is run."""
    assert bool(python_error(answer)) is wrong
