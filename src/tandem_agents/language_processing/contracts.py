"""What the language group understands and says."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from msgspec import Struct

from tandem.agent import action, contract

Language = Literal["en", "fil", "mixed"]
Intent = Literal[
    "time", "date", "days_until", "sum", "convert", "chance", "spell",
    "set_timer", "set_alarm", "set_reminder", "list_timers", "cancel_timer", "extend_timer",
    "remember", "recall", "forget", "list_memories",
    "stop", "repeat", "greeting", "thanks", "goodbye", "small_talk", "help",
    "device", "unsupported", "statement", "detail", "question", "unclear", "empty",
]  # fmt: skip
Missing = Literal["", "duration", "moment", "text", "choice", "consent"]


class Slots(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What an utterance says besides its intent; what it does not say is empty or None.

    ``at`` is Unix seconds, ``duration_s`` seconds, ``repeat`` how often it was meant to recur. ``missing`` names what
    must be asked back; a ``choice`` between several may be answered by a ``place_in_line`` (1 the first, -1 the last).
    ``others`` are more timers set in the same breath.
    """

    expression: str = ""
    duration_s: float | None = None
    at: float | None = None
    kind: str = ""
    label: str = ""
    subject: str = ""
    value: str = ""
    place: str = ""
    everything: str = ""
    repeat: str = ""
    place_in_line: int = 0
    others: tuple[Slots, ...] = ()
    missing: Missing = ""


class Analysis(Struct, frozen=True, kw_only=True):
    """``text`` is the utterance made regular; ``confidence`` is 0..1."""

    intent: Intent
    confidence: float
    text: str
    language: Language = "en"
    slots: Slots = Slots()


class LanguageGuess(Struct, frozen=True, kw_only=True):
    """``english`` and ``filipino`` are the shares (0..1) of the known words; both 0 when no word is known."""

    language: Language
    confidence: float
    english: float
    filipino: float


@contract("StreamingLanguageAnalyzer")
class LanguageLabels(Protocol):
    """Tells languages apart."""

    @action(idempotent=True)
    async def label(self, text: str) -> LanguageGuess:
        """Whether ``text`` is English, Filipino or both."""
        ...


@contract("NLUAgent")
class NLU(Protocol):
    """Understands what is asked."""

    @action(idempotent=True)
    async def analyze(self, text: str, language: Language = "en") -> Analysis:
        """What ``text`` asks for. Points in time are resolved against this machine's clock."""
        ...


Value = str | int | float


class Reply(Struct, frozen=True, kw_only=True):
    """What is to be said: finished ``text``, or a ``phrase`` of the phrasebook with its ``facts``.

    ``parts`` are the things it lists.
    """

    text: str = ""
    phrase: str = ""
    facts: dict[str, Value] = {}
    parts: list[Reply] = []
    language: Language = "en"


class Wording(Struct, frozen=True):
    """The final words, the language they are in, and how the user likes them spoken (empty and 0: the assistant's own)."""

    text: str
    language: Language
    voice: str = ""
    speed: float = 0.0


class VoiceProfile(Struct, frozen=True, kw_only=True):
    """How a ``user`` likes to be spoken to: one of the voices TTSService has, and a speed of 0.5..2 (0: its own)."""

    user: str
    voice: str = ""
    speed: float = 0.0


@contract("Responder")
class Speaking(Protocol):
    """Puts replies into words."""

    @action(idempotent=True)
    async def respond(self, reply: Reply, user: str = "you") -> Wording:
        """Put a reply into words, and say how this user likes them spoken."""
        ...

    @action(idempotent=True)
    async def add_user_voice_profile(self, profile: VoiceProfile) -> VoiceProfile:
        """Speak to that user in this voice and speed from now on; on disk when this returns. Returns the one before.

        It says nothing about how the *user* sounds. Raises ``NotFound`` for an unknown voice, ``InvalidArguments`` for a
        speed out of range, and ``Unavailable`` or ``Unreachable`` while the voices cannot be known.
        """
        ...


@contract("ChitchatAgent")
class Chitchat(Protocol):
    """Keeps up small talk."""

    async def chitchat(
        self, text: str, user: str = "you", language: Language = "en", intent: Intent = "small_talk"
    ) -> str:
        """A friendly reply. Raises ``Unavailable`` when it would need a language model and none is there."""
        ...

    async def clear_history(self, user: str) -> int:
        """Forget this user's small talk; returns how many turns were forgotten."""
        ...


TaskKind = Literal["fact", "explanation", "chat", "reasoning", "code", "tool", "joke", "story", "verse"]


class Task(Struct, frozen=True, kw_only=True):
    """Something to be answered. ``kind`` None lets the orchestrator decide."""

    text: str
    session: str = "main"
    language: Language = "en"
    kind: TaskKind | None = None


class TaskResult(Struct, frozen=True, kw_only=True):
    """``model`` wrote ``text``; ``memories`` are the ids of what was remembered for it.

    ``certainty`` (0..1) is how sure the model was, for facts and explanations and where it tells. An answer it was
    unsure of says so.
    """

    text: str
    kind: TaskKind
    model: str
    memories: list[str] = []
    certainty: float | None = None
    timings: dict[str, float] = {}


@contract("ModelOrchestrator")
class Orchestration(Protocol):
    """Finds the model for a task, and what it should know."""

    async def execute_task(self, task: Task) -> TaskResult:
        """Answer with the right model and what is remembered. Raises ``Unavailable`` without a model."""
        ...

    def stream_task(self, task: Task) -> AsyncGenerator[str, None]:
        """The same answer, piece by piece."""
        ...

    async def generate_text(self, prompt: str, system: str = "", max_tokens: int = 256) -> str:
        """Plain completion."""
        ...
