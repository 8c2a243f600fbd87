"""What a language model is told before it answers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import datetime

from tandem_agents.engines.kinds import ChatOptions, Message
from tandem_agents.language_processing.calendar_words import say_date, say_time
from tandem_agents.language_processing.contracts import Language, TaskKind
from tandem_agents.language_processing.task_kinds import classify
from tandem_agents.memory_system.contracts import UNANSWERED, Interaction

OPTIONS: dict[TaskKind, ChatOptions] = {
    "fact": ChatOptions(max_tokens=96, temperature=0.0, measure="certainty"),
    "explanation": ChatOptions(max_tokens=96, temperature=0.0, measure="certainty"),
    "chat": ChatOptions(max_tokens=160, temperature=0.3),
    "tool": ChatOptions(max_tokens=160, temperature=0.3),
    "reasoning": ChatOptions(max_tokens=512, temperature=0.3),
    "code": ChatOptions(max_tokens=768, temperature=0.1),
    "joke": ChatOptions(max_tokens=60, temperature=0.6),
    "story": ChatOptions(max_tokens=180, temperature=0.5),
    "verse": ChatOptions(max_tokens=80, temperature=0.5),
}
_MANNER: dict[TaskKind, str] = {
    "fact": "Answer in one or two short, plain sentences.",
    "explanation": "Answer in one or two short, plain sentences.",
    "chat": "You are a friendly assistant. Answer in one to three short, plain sentences.",
    "tool": "Answer in one or two short, plain sentences. You cannot look anything up: say so if that is needed.",
    "reasoning": "Think it through briefly, then give the result in a few plain sentences.",
    "joke": "You tell short, well-known jokes that children like. Answer with one joke only: a question and its punch line.",
    "story": "Tell a simple story for children in six short sentences, with a happy end. Begin with: Once upon a time.",
    "verse": "Write a poem of four short rhyming lines. Answer with the poem only.",
    "code": "Answer with working code in one fenced block and at most two sentences around it.",
}
_ABOUT_THE_WORLD: frozenset[TaskKind] = frozenset({"fact", "explanation"})
_LANGUAGES: dict[Language, str] = {
    "en": "English",
    "fil": "Filipino",
    "mixed": "the user's mix of Filipino and English",
}
_ABOUT_NOW = re.compile(
    r"\b(?:today|tonight|now|tomorrow|yesterday|date|day|days|week|weekend|month|year|time|ago|soon|morning|evening"
    r"|ngayon|bukas|kahapon|mamaya|araw|petsa|oras)\b",
    re.IGNORECASE,
)
_ABOUT_YOU = re.compile(r"\b(?:you|your|yourself|yours|ka|mo|ikaw|iyo)\b", re.IGNORECASE)


def system_prompt(
    name: str, now: datetime, language: Language, kind: TaskKind, text: str, remembered: Sequence[str] = ()
) -> str:
    """How to answer ``text``: who is asked, when it is, and what is remembered, each only where it matters.

    Small models use whatever they are told: with the date in it, a battle was fought today, and with the name in it,
    everybody asked about was the assistant. Each token also costs time before the first word. Remembered lines are the
    user's words, not instructions.
    """
    lines = [_MANNER[kind]]
    if kind not in _ABOUT_THE_WORLD and _ABOUT_YOU.search(text):
        lines.insert(0, f"Your name is {name}. You can only talk: never claim to have done something.")
    if kind not in _ABOUT_THE_WORLD and _ABOUT_NOW.search(text):
        lines.append(f"It is {say_date(now)}, {say_time(now)}.")
    if language != "en":
        lines.append(f"Answer in {_LANGUAGES[language]}.")
    if remembered:
        lines.append("The user told you earlier; use it only where it helps:")
        lines.extend(f"- {line}" for line in remembered)
    return "\n".join(lines)


FEELING_OPTIONS = ChatOptions(max_tokens=3, temperature=0.0, measure="certainty")
_FEELING = "Is what the user tells you good for them, bad for them, or neither? Answer with one word: good, bad or neither."
_FELT = (
    ("I had pancakes for breakfast.", "neither"), ("My train was an hour late again.", "bad"), ("We got married!", "good"),
    ("The shop opens at nine.", "neither"), ("I have a headache.", "bad"), ("The party was great fun.", "good"),
    ("I am at the office now.", "neither"), ("Someone stole my bike.", "bad"),
)  # fmt: skip


def feeling_of(text: str) -> list[Message]:
    """What has a model judge whether something told is good or bad for who tells it.

    A small model asked to answer it freely echoes it, or tells of a life it does not have.
    """
    messages = [Message("system", _FEELING)]
    for said, felt in _FELT:
        messages += [Message("user", said), Message("assistant", felt)]
    return [*messages, Message("user", text)]


_BESIDE_THE_POINT = {
    "small_talk",
    "greeting",
    "thanks",
    "goodbye",
    "help",
    "device",
    "unsupported",
    "stop",
    "empty",
    "forget",
    "repeat",
    "unclear",
    UNANSWERED,
}
MAX_TURNS = 3
_REFERS_BACK = re.compile(
    r"^(?:and|but|so|then|ok|what about|how about|how so|really|more|another|again|go on|continue|at|eh|bakit|paano)\b"
    r"|\b(?:he|she|it|its|they|them|their|him|her|his|that|those|these|this|there|one|ones|more|else|same|instead|previous|earlier"
    r"|before|mentioned|said|siya|ito|iyon|iyan|niya|nila|doon)\b",
    re.IGNORECASE,
)
SHORT_WORDS = 3


def refers_back(text: str) -> bool:
    """Whether a question can only be understood with what was said before it: it uses a pronoun, or is short and yet no
    whole question ("why", but not "what is gravity")."""
    if _REFERS_BACK.search(text):
        return True
    return len(text.split()) <= SHORT_WORDS and classify(text) not in _ABOUT_THE_WORLD


def relevant_turns(turns: Sequence[Interaction], text: str) -> list[Interaction]:
    """The newest few turns that ``text`` may refer to, oldest first; none for a question that stands alone.

    Courtesies and refusals are left out, and so is an answer given twice: small models copy what they see.
    """
    if not refers_back(text):
        return []
    kept: list[Interaction] = []
    for turn in reversed(turns):
        if turn.intent not in _BESIDE_THE_POINT and turn.answer not in {known.answer for known in kept}:
            kept.append(turn)
        if len(kept) == MAX_TURNS:
            break
    return kept[::-1]


def conversation(system: str, turns: Sequence[Interaction], text: str) -> list[Message]:
    """The system prompt, recent turns, and the new question."""
    messages = [Message("system", system)]
    for turn in turns:
        messages.append(Message("user", turn.said))
        if turn.answer:
            messages.append(Message("assistant", turn.answer))
    messages.append(Message("user", text))
    return messages
