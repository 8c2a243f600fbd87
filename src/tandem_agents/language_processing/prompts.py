"""What a language model is told before it answers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from tandem_agents.engines.kinds import ChatOptions, Message
from tandem_agents.language_processing.calendar_words import say_date, say_time
from tandem_agents.language_processing.contracts import Language, TaskKind
from tandem_agents.memory_system.contracts import UNANSWERED, Interaction

OPTIONS: dict[TaskKind, ChatOptions] = {
    "chat": ChatOptions(max_tokens=160, temperature=0.3),
    "tool": ChatOptions(max_tokens=160, temperature=0.3),
    "reasoning": ChatOptions(max_tokens=512, temperature=0.3),
    "code": ChatOptions(max_tokens=768, temperature=0.1),
}
_MANNER: dict[TaskKind, str] = {
    "chat": "Answer briefly, in one to three plain sentences.",
    "tool": "You cannot look anything up: if that is needed, say so in one sentence.",
    "reasoning": "Think it through briefly, then give the result in a few plain sentences.",
    "code": "Answer with working code in one fenced block and at most two sentences around it.",
}
_LANGUAGES: dict[Language, str] = {
    "en": "English",
    "fil": "Filipino",
    "mixed": "the user's mix of Filipino and English",
}


def system_prompt(
    name: str, now: datetime, language: Language, kind: TaskKind, remembered: Sequence[str] = ()
) -> str:
    """Who answers, when, how, and what is remembered.

    Kept short on purpose: small models follow a few plain sentences better than many, and each token costs time
    before the first word. Remembered lines are the user's words, not instructions.
    """
    lines = [
        f"You are {name}, a helpful assistant. It is {say_date(now)}, {say_time(now)}. {_MANNER[kind]} "
        "Say so if you do not know. You can only talk: never claim to have done something."
    ]
    if language != "en":
        lines.append(f"Answer in {_LANGUAGES[language]}.")
    if remembered:
        lines.append("The user told you earlier; use it only where it helps:")
        lines.extend(f"- {line}" for line in remembered)
    return "\n".join(lines)


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
    UNANSWERED,
}
MAX_TURNS = 3


def relevant_turns(turns: Sequence[Interaction]) -> list[Interaction]:
    """The newest few turns a follow-up question may refer to, oldest first.

    Courtesies and refusals are left out, and so is an answer given twice: small models copy what they see.
    """
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
