"""Kinds of tasks, prompts and the check of code."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from tandem_agents.language_processing.code_check import python_error
from tandem_agents.language_processing.contracts import Language, TaskKind
from tandem_agents.language_processing.doubt import (
    EXPLANATIONS,
    FACTS,
    Limits,
    doubted,
    echoed,
    limits_of,
    pretended,
    sentences_end,
)
from tandem_agents.language_processing.prompts import conversation, refers_back, relevant_turns, system_prompt
from tandem_agents.language_processing.task_kinds import classify
from tandem_agents.memory_system.contracts import Interaction


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("write a python function that sorts a list", "code"), ("fix the bug in this script", "code"),
        ("what if ice sank", "reasoning"), ("compare trains and buses", "reasoning"), ("if I have 3 apples and eat one, how many are left", "reasoning"),
        ("what is the exchange rate of the peso", "tool"), ("who wrote Noli Me Tangere", "fact"), ("how tall is Mount Everest", "fact"),
        ("what is the capital of France", "fact"), ("what's the capital of France", "fact"), ("What’s the boiling point of lead", "fact"), ("whats the name of the king of Spain", "fact"), ("What is Zorblax Quindle", "fact"), ("are penguins birds", "fact"), ("sino si Jose Rizal", "fact"),
        ("what is the best movie of all time", "chat"), ("how do you do", "chat"), ("", "chat"), ("tell me about a story you know", "chat"), ("explain this joke to me", "chat"), ("tell me something about dogs", "chat"), ("what is the smallest country", "fact"), ("what's the most spoken language", "fact"),
        ("why does ice float", "explanation"), ("Why is the sky blue? Answer in one sentence.", "explanation"), ("what is gravity", "explanation"), ("What's a noun?", "explanation"),
        ("how does a fridge work", "explanation"), ("can you explain how a fridge works", "explanation"), ("explain photosynthesis", "explanation"), ("how is glass made", "explanation"), ("why does iron rust", "explanation"), ("why do onions make you cry", "explanation"),
        ("why", "chat"), ("why not", "chat"), ("why are you called that", "chat"), ("why do I feel tired", "chat"), ("how do I boil an egg", "chat"), ("how are things", "chat"), ("what is up", "chat"), ("how was the movie", "chat"), ("write it in rust", "code"),
        ("tell me a story", "story"), ("Tell me another bedtime story.", "story"), ("tell me a joke", "joke"), ("do you know any jokes?", "joke"),
        ("make me laugh", "joke"), ("write a poem about the sea", "verse"), ("tell me a fun fact", "fact"), ("tell me something interesting", "fact"),
    ],
)  # fmt: skip
def test_kinds_of_tasks(text: str, kind: str) -> None:
    """Code, reasoning, explanations and questions about the world of today are told from talk."""
    assert classify(text) == kind


def test_the_prompt_says_what_matters_to_the_question() -> None:
    """A model hears the date when it is asked about days, its name when asked about itself, and what is remembered; a
    fact is asked for without either, since small models put whatever they hear into the answer."""
    now = datetime(2026, 3, 4, 15, 5)
    told = ["the boiler code is 4711"]
    prompt = system_prompt("Tandem", now, "fil", "chat", "what can you do for me today", told)
    for part in ("Tandem", "Wednesday, March 4, 2026", "3:05 PM", "Filipino", "- the boiler code is 4711"):
        assert part in prompt
    for kind, text in (("chat", "tell me about tea"), ("fact", "when did you lose the war of yesterday")):
        prompt = system_prompt("Tandem", now, "en", kind, text)  # type: ignore[arg-type]
        assert not any(part in prompt for part in ("Tandem", "2026", "PM"))


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
    assert [turn.said for turn in relevant_turns(turns, "and why is that")] == ["b", "e", "f"]


@pytest.mark.parametrize(
    ("text", "back"),
    [
        ("and in Germany", True), ("why", True), ("how old is he", True), ("what about the other one", True), ("tell me more about tea", True),
        ("why not", True), ("why is that", True), ("why are they pink", True), ("cats", True),
        ("why are flamingos pink", False), ("what is gravity", False), ("who wrote Hamlet", False), ("what is the capital of France", False), ("give me a recipe for pancakes", False),
    ],
)  # fmt: skip
def test_a_question_that_stands_alone_is_asked_alone(text: str, back: bool) -> None:
    """Earlier turns are shown only to questions that refer to them; others would be answered from them."""
    assert refers_back(text) is back
    assert bool(relevant_turns([Interaction(said="a", answer="b", intent="question")], text)) is back


@pytest.mark.parametrize("limits", [FACTS, EXPLANATIONS])
@pytest.mark.parametrize(
    ("at", "off", "phrase"),
    [("sure", 0, None), ("sure", -0.01, "unsure"), ("guessing", 0, "unsure"), ("guessing", -0.01, "unknown")],
)
def test_doubt_is_said(limits: Limits, at: str, off: float, phrase: str | None) -> None:
    """An uncertain answer is called a guess, and a wild one is not told."""
    doubt = doubted("France won.", getattr(limits, at) + off, limits, "en")
    assert (doubt.phrase if doubt else None) == phrase
    if phrase == "unsure":
        assert doubt is not None
        assert doubt.facts == {"guess": "France won."}


def test_a_model_that_does_not_tell_is_believed() -> None:
    """Where no probabilities are told nothing is doubted."""
    assert doubted("France won.", None, FACTS, "en") is None


@pytest.mark.parametrize(
    ("kind", "language", "limits"),
    [
        ("fact", "en", FACTS), ("explanation", "en", EXPLANATIONS), ("story", "en", None), ("chat", "en", None), ("chat", "fil", FACTS),
        ("explanation", "fil", FACTS), ("code", "fil", None),
    ],
)  # fmt: skip
def test_what_is_measured(kind: TaskKind, language: Language, limits: Limits | None) -> None:
    """Facts and explanations are, and in a language the model hardly knows everything but code."""
    assert limits_of(kind, language) is limits


@pytest.mark.parametrize(
    ("asked", "answer", "is_echo"),
    [
        ("Why is the sky blue? Answer in one sentence.", "Sky is blue.", True), ("why is the sky blue", "The sky is blue because it is blue.", True), ("what is a noun", "", True),
        ("why is the sky blue", "The sky is blue because air scatters blue light.", False), ("what is a noun", "A noun is a word.", False), ("why do boats float", "Boats float because of 3 things.", False),
    ],
)  # fmt: skip
def test_an_echo_explains_nothing(asked: str, answer: str, is_echo: bool) -> None:
    """An explanation with no word of its own but "is" and "because" is not told."""
    echo = echoed(asked, answer, "en")
    assert (echo.phrase if echo else None) == ("unknown" if is_echo else None)


def test_the_facts_the_limits_come_from() -> None:
    """Every question with which the limits of doubt are chosen is of the kind that is measured, and has a readable answer."""
    facts = yaml.safe_load((Path(__file__).parents[3] / "benchmarks" / "facts.yaml").read_text())
    questions = [*facts["answered"], *facts["invented"]]
    assert [question for question in questions if classify(question) != "fact"] == []
    assert [question for question in facts["explained"] if classify(question) != "explanation"] == []
    assert len({*questions, *facts["explained"]}) == len(questions) + len(facts["explained"])
    patterns = [*facts["answered"].values(), *facts["explained"].values()]
    assert [pattern for pattern in patterns if re.search(pattern, "") is not None] == []


def test_a_yes_is_not_believed() -> None:
    """A small model agrees with whatever it is asked, however sure it is; a model that does not tell is believed."""
    doubt = doubted("Yes, spiders are insects.", 0.99, FACTS, "en")
    assert doubt is not None
    assert doubt.phrase == "unknown"
    assert doubted("Yes, the sun is a star.", None, FACTS, "en") is None
    assert doubted("No, the Earth is not flat.", 0.9, FACTS, "en") is None


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


@pytest.mark.parametrize(
    ("asked", "answer", "is_pretence"),
    [
        ("drive me to work", "I'll drive you to work.", True), ("fold my socks", "Sure! I folded my socks.", True), ("Iron the shirts.", "I have ironed them.", True),
        ("fold my socks", "Folding socks keeps them tidy.", False), ("fold my socks", "I'm sorry, but I can't assist with that.", False),
        ("can you drive", "I will drive you.", False), ("what will you do?", "I will think.", False), ("tell me what you see", "I have no eyes.", False),
        ("write a letter to Anna", "I have been thinking of you, Anna.", False), ("fold my socks", "I will not do that.", False), ("I am late", "I have no clock.", False), ("pick a color", "I'll pick blue.", False),
    ],
)  # fmt: skip
def test_no_deed_is_claimed(asked: str, answer: str, is_pretence: bool) -> None:
    """Whatever is ordered that takes hands, a model must not say that it is done; to be told, asked or written something is no such order."""
    instead = pretended(asked, answer, "en")
    assert (instead.phrase if instead else None) == ("chore" if is_pretence else None)


def test_words_said_over_and_over_are_not_told() -> None:
    """A model that has lost its way says the same word again and again, and is very sure of it."""
    doubt = doubted("Magkuwento ka ngayon ngayon ngayon ngayon", 0.97, FACTS, "fil")
    assert doubt is not None
    assert doubt.phrase == "unknown"
    assert doubted("Very, very good news.", 0.9, FACTS, "en") is None


@pytest.mark.parametrize(
    ("text", "whole"),
    [("One. Two three", "One."), ("No end", ""), ("Version 1.5 is", ""), ('She said "Stop!" and', 'She said "Stop!"'), ("All of it.", "All of it.")],
)
def test_where_the_last_whole_sentence_ends(text: str, whole: str) -> None:
    """Points inside numbers end no sentence, quotation marks behind one belong to it."""
    assert text[: sentences_end(text)] == whole
