"""Final voice of the assistant."""

from __future__ import annotations

import msgspec
from msgspec import Struct

from tandem.agent import Agent, action
from tandem.core import clock
from tandem.core.damage import read_json
from tandem.core.errors import InvalidArguments, NotFound
from tandem_agents.language_processing.calendar_words import ClockStyle, local
from tandem_agents.language_processing.contracts import Reply, VoiceProfile, Wording
from tandem_agents.language_processing.phrasebook import render
from tandem_agents.speech_services.contracts import Voicing
from tandem_agents.storage import write_file

MIN_SPEED, MAX_SPEED = 0.5, 2.0


class Responder(Agent):
    """Puts every answer into its final words, in the language it was asked in, and knows in which voice each user likes them."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        clock: ClockStyle = "12h"

    settings: Settings

    async def start(self) -> None:
        self._file = self.state_dir / "voices.json"
        self._voices = read_json(self._file, dict[str, VoiceProfile]) or {}

    @action(idempotent=True)
    async def respond(self, reply: Reply, user: str = "you") -> Wording:
        """The final words of a reply."""
        try:
            text = render(reply, local(clock.wall()), self.settings.clock)
        except KeyError as error:
            raise InvalidArguments(
                f"the phrasebook has no {error} for the phrase {reply.phrase!r}"
            ) from error
        liked = self._voices.get(user, VoiceProfile(user=user))
        return Wording(text, reply.language, liked.voice, liked.speed)

    @action(idempotent=True)
    async def add_user_voice_profile(self, profile: VoiceProfile) -> VoiceProfile:
        """Speak to that user in this voice and speed from now on."""
        if profile.speed and not MIN_SPEED <= profile.speed <= MAX_SPEED:
            raise InvalidArguments(f"speed is between {MIN_SPEED} and {MAX_SPEED}, not {profile.speed:g}")
        if profile.voice:
            known = sorted(voice.id for voice in await self.peer(Voicing).voices())
            if profile.voice not in known:
                raise NotFound(f"there is no voice {profile.voice!r}", hint=f"one of {', '.join(known)}")
        before = self._voices.get(profile.user, VoiceProfile(user=profile.user))
        voices = self._voices | {profile.user: profile}
        write_file(self._file, msgspec.json.encode(voices))
        self._voices = voices
        return before
