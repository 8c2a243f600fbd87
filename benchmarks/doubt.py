"""What the assistant tells as facts and explanations: how much of it is right, and what it leaves unsaid.

Every question of ``facts.yaml`` is put to the default language model as the assistant does it (temperature 0). Of facts and
of explanations one half chooses the two limits of ``tandem_agents.language_processing.doubt``, the other half, held out, judges those in force. The
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
from tandem_agents.language_processing.contracts import TaskKind
from tandem_agents.language_processing.doubt import EXPLANATIONS, FACTS, Limits, doubted, echoed
from tandem_agents.language_processing.prompts import OPTIONS, conversation, system_prompt

QUESTIONS = Path(__file__).with_name("facts.yaml")
IN_FORCE: dict[TaskKind, Limits] = {"fact": FACTS, "explanation": EXPLANATIONS}
TOLD_RIGHT = 0.8
"""Share of what is told as it is that must be right when the limits are chosen."""
GUESSED_RIGHT = 0.5
"""The same for what is told as a guess."""


class Questions(Struct, forbid_unknown_fields=True):
    """``answered`` and ``explained`` map a question to the pattern of a right answer; to ``invented`` ones there is none."""

    answered: dict[str, str]
    explained: dict[str, str]
    invented: list[str]


class Question(Struct, frozen=True):
    """``pattern`` of its right answer is empty for what does not exist."""

    text: str
    kind: TaskKind
    pattern: str = ""


class Said(Struct, frozen=True):
    """``certainty`` is 0..1."""

    question: Question
    answer: str
    certainty: float
    right: bool

    @property
    def invented(self) -> bool:
        return not self.question.pattern

    def outcome(self, limits: Limits) -> str:
        """``told``, ``guessed`` or ``unsaid`` with these limits."""
        if self.question.kind == "explanation" and echoed(self.question.text, self.answer, "en") is not None:
            return "unsaid"
        doubt = doubted(self.answer, self.certainty, limits, "en")
        return "told" if doubt is None else {"unsure": "guessed", "unknown": "unsaid"}[doubt.phrase]


def questions() -> list[Question]:
    """All of them, those of a kind together."""
    found = msgspec.yaml.decode(QUESTIONS.read_bytes(), type=Questions)
    return [
        *(Question(text, "fact", pattern) for text, pattern in found.answered.items()),
        *(Question(text, "fact") for text in found.invented),
        *(Question(text, "explanation", pattern) for text, pattern in found.explained.items()),
    ]


async def ask_all(model_id: str = "") -> list[Said]:
    """What the model says to each question, in order."""
    model = await open_language_model(LanguageModelSettings(model=model_id))
    said = []
    try:
        for question in questions():
            system = system_prompt("Tandem", datetime.now(), "en", question.kind, question.text)
            done = await complete(model, conversation(system, [], question.text), OPTIONS[question.kind])
            right = bool(question.pattern) and re.search(question.pattern, done.text, re.IGNORECASE) is not None
            said.append(Said(question, done.text.strip(), done.certainty or 0.0, right))
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


def lowest(enough: Callable[[float], bool], least: float = 0.3) -> float:
    """The lowest limit, in hundredths, at which ``enough`` holds; 1 when it never does."""
    return next((step / 100 for step in range(round(least * 100), 100) if enough(step / 100)), 1.0)


def choose(tuning: Sequence[Said]) -> Limits:
    """The limits from which to tell, and from which to guess."""

    def of(outcome: str, limits: Limits) -> list[Said]:
        return [one for one in tuning if one.outcome(limits) == outcome]

    sure = lowest(lambda limit: right_share(of("told", Limits(limit, 0.0))) >= TOLD_RIGHT)
    guessing = lowest(lambda limit: right_share(of("guessed", Limits(sure, limit))) >= GUESSED_RIGHT)
    return Limits(sure, min(sure, guessing))


def judged(said: Sequence[Said], kind: TaskKind, name: str) -> list[Row]:
    """What the limits in force make of the held out half of a kind."""
    tuning, held_out = halves([one for one in said if one.question.kind == kind])
    chosen, in_force = choose(tuning), IN_FORCE[kind]
    say(f"{kind}: chosen on {len(tuning)} questions: told from {chosen.sure:.2f}, guessed from {chosen.guessing:.2f}; "
        f"in force: {in_force.sure:.2f} and {in_force.guessing:.2f}")  # fmt: skip
    parts = {
        outcome: [one for one in held_out if one.outcome(in_force) == outcome]
        for outcome in ("told", "guessed", "unsaid")
    }
    for outcome, part in parts.items():
        say(f"{outcome}: {len(part)} of {len(held_out)}, {sum(one.right for one in part)} right, {sum(one.invented for one in part)} of what does not exist")
    known = [one for one in held_out if one.right]
    rows = [
        compare(f"{name}.told_right_fraction", "1", right_share(parts["told"]), "the model alone", right_share(held_out), "higher"),
        Row(id=f"{name}.known_told_fraction", ours=sum(one in parts["told"] for one in known) / len(known), unit="1"),
        Row(id=f"{name}.guessed_right_fraction", ours=right_share(parts["guessed"]), unit="1"),
        Row(id=f"{name}.unsaid_right_fraction", ours=right_share(parts["unsaid"]), unit="1"),
    ]  # fmt: skip
    if any(one.invented for one in held_out):
        rows.append(Row(id=f"{name}.invented_told", ours=float(sum(one.invented for one in parts["told"])), unit="1"))
    return rows


def measure() -> list[Row]:
    """Run the model over all questions; about four minutes on two cores."""
    say(f"asking {len(questions())} questions")
    said = asyncio.run(ask_all())
    return [*judged(said, "fact", "doubt"), *judged(said, "explanation", "doubt.explained")]


if __name__ == "__main__":
    run("doubt", measure)
