"""One request on its way to an answer."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tandem.api import INTENT, AnySpan
from tandem.core import clock
from tandem_agents.core_services.contracts import Source
from tandem_agents.language_processing.contracts import Analysis, Language, Reply, Value


@dataclass(slots=True)
class Turn:
    """``analysis`` is what was understood; ``timings`` gathers seconds by stage; ``intent`` is what was done in the end.

    ``answered`` is false when all that could be said was why there is no answer.
    """

    id: str
    text: str
    session: str
    user: str
    source: Source
    analysis: Analysis
    timings: dict[str, float] = field(default_factory=dict)
    intent: str = ""
    answered: bool = True
    span: AnySpan | None = None
    """Of the whole turn, while it lasts."""

    @property
    def language(self) -> Language:
        return self.analysis.language

    def say(self, phrase: str, *parts: Reply, **facts: Value) -> Reply:
        """A phrase of the phrasebook in this turn's language."""
        return Reply(phrase=phrase, facts=facts, parts=list(parts), language=self.language)

    def label(self) -> None:
        """Let lists of turns call it by what was done."""
        if self.span is not None:
            self.span.set(INTENT, self.intent)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add the block's seconds to a stage."""
        with timed(self.timings, name):
            yield


@contextmanager
def timed(timings: dict[str, float], name: str) -> Iterator[None]:
    """Add the block's seconds to ``timings[name]``."""
    started = clock.monotonic()
    try:
        yield
    finally:
        timings[name] = timings.get(name, 0.0) + clock.monotonic() - started
