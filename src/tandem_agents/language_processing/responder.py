"""Final voice of the assistant."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from tandem.agent import Agent, action
from tandem.core import clock
from tandem.core.errors import InvalidArguments
from tandem_agents.language_processing.calendar_words import ClockStyle, local
from tandem_agents.language_processing.contracts import Reply, Wording
from tandem_agents.language_processing.phrasebook import render


class Responder(Agent):
    """Puts every answer into its final words, in the language it was asked in."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        clock: ClockStyle = "12h"

    settings: Settings

    @action(idempotent=True)
    async def respond(
        self, reply: Reply, user: str = "you", aloud: Literal["text", "voice"] = "text"
    ) -> Wording:
        """The final words of a reply."""
        try:
            return Wording(render(reply, local(clock.wall()), self.settings.clock), reply.language)
        except KeyError as error:
            raise InvalidArguments(
                f"the phrasebook has no {error} for the phrase {reply.phrase!r}"
            ) from error
