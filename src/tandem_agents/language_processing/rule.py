"""One line of the intent table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime

from msgspec import Struct

from tandem_agents.language_processing.contracts import Intent, Slots
from tandem_agents.language_processing.fragments import FRAGMENTS
from tandem_agents.language_processing.templates import compile_template

Reader = Callable[[re.Match[str], datetime], Slots | None]


class Rule(Struct, frozen=True):
    """One line of the table; ``confidence`` is 0..1."""

    intent: Intent
    confidence: float
    pattern: re.Pattern[str]
    read: Reader


def rules(intent: Intent, confidence: float, read: Reader, *templates: str) -> Iterable[Rule]:
    """A rule for each template."""
    return [Rule(intent, confidence, compile_template(template, FRAGMENTS), read) for template in templates]
