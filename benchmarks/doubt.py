"""What the assistant tells as facts: how much of it is right, and what it leaves unsaid.

Every question of ``facts.yaml`` is put to the default language model as the assistant does it (temperature 0). One half
chooses the two limits of ``tandem_agents.language_processing.doubt``, the other half, held out, judges those in force. The
peer is the same model without doubt, which tells everything it says as a fact.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from _rows import Row, compare, run, say
from tandem_agents.engines.chatting import complete
from tandem_agents.engines.select import LanguageModelSettings, open_language_model
from tandem_agents.language_processing.doubt import GUESSING, SURE, doubted
from tandem_agents.language_processing.prompts import OPTIONS, conversation, system_prompt

FACTS = Path(__file__).with_name("facts.yaml")
TOLD_RIGHT = 0.8
"""Share of what is told as a fact that must be right when the limits are chosen."""
GUESSED_RIGHT = 0.5
"""The same for what is told as a guess."""


class Facts(Struct, forbid_unknown_fields=True):
    """``answered`` maps a question to the pattern of a right answer; to ``invented`` ones there is none."""

    answered: dict[str, str]
    invented: list[str]


class Said(Struct, frozen=True):
    """``certainty`` is 0..1."""

    question: str
    answer: str
    certainty: float
    right: bool
    invented: bool

    def outcome(self, sure: float = SURE, guessing: float = GUESSING) -> str:
        """``told``, ``guessed`` or ``unsaid`` with these limits."""
        if doubted(self.answer, max(self.certainty, SURE), "en") is not None or self.certainty < guessing:
            return "unsaid"
        return "told" if self.certainty >= sure else "guessed"


def questions() -> list[tuple[str, str]]:
    """Each question with the pattern of its right answer, empty for what does not exist."""
    facts = msgspec.yaml.decode(FACTS.read_bytes(), type=Facts)
    return [*facts.answered.items(), *((question, "") for question in facts.invented)]


async def ask_all(model_id: str = "") -> list[Said]:
    """What the model says to each question, in order."""
    model = await open_language_model(LanguageModelSettings(model=model_id))
    said = []
    try:
        for question, pattern in questions():
            system = system_prompt("Tandem", datetime.now(), "en", "fact", question)
            done = await complete(model, conversation(system, [], question), OPTIONS["fact"])
            right = bool(pattern) and re.search(pattern, done.text, re.IGNORECASE) is not None
            said.append(Said(question, done.text.strip(), done.certainty or 0.0, right, not pattern))
    finally:
        await model.close()
    return said


def halves(said: Sequence[Said]) -> tuple[list[Said], list[Said]]:
    """The half for choosing and the half held out: every second one of what exists, and of what does not."""
    known = [one for one in said if not one.invented]
    invented = [one for one in said if one.invented]
    return [*known[::2], *invented[::2]], [*known[1::2], *invented[1::2]]


def right_share(said: Sequence[Said]) -> float:
    """Share of right answers; 0 of none."""
    return sum(one.right for one in said) / len(said) if said else 0.0


def lowest(enough: Callable[[float], bool], least: float = 0.5) -> float:
    """The lowest limit, in hundredths, at which ``enough`` holds; 1 when it never does."""
    return next((step / 100 for step in range(round(least * 100), 100) if enough(step / 100)), 1.0)


def choose(tuning: Sequence[Said]) -> tuple[float, float]:
    """The limits from which to tell, and from which to guess."""

    def of(outcome: str, sure: float, guessing: float) -> list[Said]:
        return [one for one in tuning if one.outcome(sure, guessing) == outcome]

    sure = lowest(lambda limit: right_share(of("told", limit, 0.0)) >= TOLD_RIGHT)
    guessing = lowest(lambda limit: right_share(of("guessed", sure, limit)) >= GUESSED_RIGHT)
    return sure, min(sure, guessing)


def measure() -> list[Row]:
    """Run the model over all questions; about two minutes on two cores."""
    say(f"asking {len(questions())} questions")
    tuning, held_out = halves(asyncio.run(ask_all()))
    sure, guessing = choose(tuning)
    say(f"chosen on {len(tuning)} questions: told from {sure:.2f}, guessed from {guessing:.2f}; in force: {SURE:.2f} and {GUESSING:.2f}")
    parts = {name: [one for one in held_out if one.outcome() == name] for name in ("told", "guessed", "unsaid")}
    for name, part in parts.items():
        say(f"{name}: {len(part)} of {len(held_out)}, {sum(one.right for one in part)} right, {sum(one.invented for one in part)} of what does not exist")
    known = [one for one in held_out if one.right]
    return [
        compare("doubt.told_right_fraction", "1", right_share(parts["told"]), "the model alone", right_share(held_out), "higher"),
        Row(id="doubt.known_told_fraction", ours=sum(one.outcome() == "told" for one in known) / len(known), unit="1"),
        Row(id="doubt.guessed_right_fraction", ours=right_share(parts["guessed"]), unit="1"),
        Row(id="doubt.unsaid_right_fraction", ours=right_share(parts["unsaid"]), unit="1"),
        Row(id="doubt.invented_told", ours=float(sum(one.invented for one in parts["told"])), unit="1"),
    ]  # fmt: skip


if __name__ == "__main__":
    run("doubt", measure)
