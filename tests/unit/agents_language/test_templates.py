"""The notation of the intent table."""

from __future__ import annotations

import re

import pytest

from tandem_agents.language_processing.templates import compile_template, match_template

FRAGMENTS = {"colour": "red|dark blue", "thing": "lamp|<colour> lamp"}


@pytest.mark.parametrize(
    ("template", "text", "matches"),
    [
        ("stop [now]", "stop", True), ("stop [now]", "stop now", True), ("stop [now]", "stopnow", False),
        ("(stop|halt) it", "halt it", True), ("(stop|halt) it", "halt", False), ("stop", "STOP", True),
        ("set a timer", "set, a  timer", True), ("set a timer", "set a timer please", False),
        ("the <colour> lamp", "the dark blue lamp", True), ("the <thing>", "the red lamp", True), ("what is", "what.is", False),
        ("[a|an] {x} now", "now", False),
    ],
)  # fmt: skip
def test_templates_match_whole_sentences(template: str, text: str, matches: bool) -> None:
    """Optional words, alternatives and fragments match word by word, over any gap of spaces and commas."""
    assert bool(match_template(compile_template(template, FRAGMENTS), text)) is matches


def test_slots_capture_words() -> None:
    """A slot takes as few words as let the sentence match; a bound slot only its fragment."""
    match = match_template(compile_template("call {who} [{when=colour}]", FRAGMENTS), "call aunt May red")
    assert match is not None
    assert (match["who"].strip(), match["when"].strip()) == ("aunt May", "red")


def test_mistakes_in_templates_are_found() -> None:
    """An unknown fragment and an unclosed bracket fail when the table is built, not when somebody speaks."""
    with pytest.raises(KeyError):
        compile_template("<nothing>", FRAGMENTS)
    with pytest.raises(re.error):
        compile_template("(stop", FRAGMENTS)
