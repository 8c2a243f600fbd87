"""The front door and the views of the whole; the models have `model_contracts`, the operator's door `system_contracts`."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Literal, Protocol

from msgspec import Struct

from tandem.agent import Event, action, contract
from tandem_agents.audio_interface.contracts import Heard
from tandem_agents.engines.kinds import Pcm
from tandem_agents.infrastructure.contracts import Alarm, AlarmKind, MachineReading
from tandem_agents.language_processing.contracts import Language

Source = Literal["text", "voice", "background"]


class Answer(Struct, frozen=True, kw_only=True):
    """What a turn came to. ``turn`` names its trace; ``timings`` are seconds by stage, ``total`` being the whole.

    ``transcript`` is what was heard, of a request that was sound.
    """

    answer: str
    intent: str
    turn: str
    timings: dict[str, float]
    language: Language = "en"
    transcript: str = ""


class Request(Struct, frozen=True, kw_only=True):
    """Something for the assistant: ``text``, a clip of ``audio``, or an ``image`` (PNG or JPEG) with a question in ``text``."""

    type: Literal["text", "audio", "vision"] = "text"
    text: str = ""
    audio: Pcm | None = None
    image: bytes = b""
    session: str = "main"
    user: str = "you"
    urgent: float = 0.0


class Suggestion(Struct, frozen=True, kw_only=True):
    """Something the user may want to ask now: ``ask`` is the request, ``why`` the habit it comes from."""

    ask: str
    text: str
    why: str


class TalkPiece(Struct, frozen=True, kw_only=True):
    """One part of a spoken turn; exactly one field is set.

    ``heard`` is what is heard so far, ``said`` a sentence of the answer, ``sound`` a piece of its sound, ``answer``
    the whole, and ``timings`` come last.
    """

    heard: Heard | None = None
    said: str | None = None
    sound: Pcm | None = None
    answer: Answer | None = None
    timings: dict[str, float] | None = None


class Announcement(Struct, frozen=True, kw_only=True):
    """Something the assistant says unasked. The same ``id`` means the same announcement."""

    id: str
    text: str
    at: float
    session: str = "main"
    user: str = "you"
    language: Language = "en"


class AlarmRang(Event, topic="alarm.rang"):
    """A timer, alarm or reminder rang; ``late_s`` seconds after its time when nobody could ring it earlier."""

    alarm: Alarm
    text: str
    late_s: float


class Piece(Struct, frozen=True, kw_only=True):
    """A part of a streamed answer, and how its user likes it spoken. The last one carries the whole ``answer``."""

    text: str = ""
    voice: str = ""
    speed: float = 0.0
    answer: Answer | None = None


@contract("RequestCoordinator")
class FrontDoor(Protocol):
    """Whatever people ask comes here."""

    async def ask(
        self,
        text: str,
        session: str = "main",
        user: str = "you",
        source: Source = "text",
        urgent: float = 0.0,
    ) -> Answer:
        """Understand, do, and answer. ``urgent`` (0..1) moves a request forward in the line.

        Raises ``TooLarge`` and ``InvalidArguments`` for what is no request, ``Overloaded`` when a hundred wait.
        """
        ...

    async def submit(self, request: Request) -> Answer:
        """The same for a request of any type. Raises ``InvalidArguments`` when what its type needs is missing.

        Sound in which nothing was said, and an image while no agent can see, get an answer that says so.
        """
        ...

    async def get_suggestion(self, user: str = "you") -> Suggestion | None:
        """A command this user usually gives at this time of day and has not given today; each one once a day."""
        ...

    def answer_stream(
        self, text: str, session: str = "main", user: str = "you", source: Source = "text"
    ) -> AsyncGenerator[Piece, None]:
        """The same answer sentence by sentence as it is made, so that speaking can begin early."""
        ...

    def converse(
        self,
        source: str,
        session: str = "main",
        user: str = "you",
        wake: bool = False,
        whole: bool = False,
        since_s: float = 0.0,
    ) -> AsyncGenerator[TalkPiece, None]:
        """Listen to the sound session ``source``, answer what is said there, and speak the answer.

        ``whole`` hears the sound to its end first, otherwise the first utterance is the request; ``wake`` waits until
        the assistant is called. What the session heard before ``since_s`` seconds is passed over. Ends without an answer
        when nothing was said, or nothing but the assistant's name: the last ``heard`` is then ``addressed``, without text.
        """
        ...

    async def stop(self, session: str = "") -> int:
        """Drop what waits and end what is being thought about; what was done stays done. Returns how many ended."""
        ...

    def announcements(self) -> AsyncGenerator[Announcement, None]:
        """What is said unasked, from now on."""
        ...

    @action(idempotent=True)
    async def list_alarms(self, kind: AlarmKind | None = None) -> list[Alarm]:
        """What is still to ring, soonest first."""
        ...


@contract("RequestCoordinator")
class Ringing(Protocol):
    """The side of the front door that alarms use."""

    @action(idempotent=True)
    async def ring(self, alarms: list[Alarm]) -> list[Alarm]:
        """Ring those that have not rung yet, and return all of them as they are now."""
        ...


class AgentView(Struct, frozen=True, kw_only=True):
    """Where an agent is and how it says it is. ``seen_s`` is the age of that word in seconds."""

    name: str
    machine: str
    status: str
    instance: str
    pid: int
    endpoint: str
    release: str
    seen_s: float
    capabilities: list[str] = []


class DirectoryChange(Struct, frozen=True, kw_only=True):
    """Somebody appeared, moved or changed status, or went; ``view`` is the newest there is (``seen_s`` 0)."""

    kind: Literal["appeared", "changed", "gone"]
    view: AgentView


class Registration(Struct, frozen=True, kw_only=True):
    """A program outside of the fleet that wants to be found; ``endpoint`` is whatever its callers use.

    ``ttl_s`` makes it a lease that ends unless renewed in time (up to a day); 0 stays until withdrawn.
    """

    name: str
    machine: str
    endpoint: str
    capabilities: list[str] = []
    ttl_s: float = 0.0


@contract("ServiceRegistry")
class Directory(Protocol):
    """Where everybody is: agents of the fleet, and programs registered from outside."""

    @action(idempotent=True)
    async def register_agent(self, registration: Registration) -> AgentView:
        """Announce a program of the outside; on disk when this returns. Agents of the fleet are known without it."""
        ...

    @action(idempotent=True)
    async def renew_registration(self, name: str) -> AgentView:
        """Prolong its lease. Raises ``NotFound`` when it has ended."""
        ...

    @action(idempotent=True)
    async def unregister_agent(self, name: str) -> int:
        """Withdraw a program announced before; returns how many there were, 0 or 1."""
        ...

    @action(idempotent=True)
    async def get_agent_endpoint(self, name: str) -> AgentView:
        """Where an agent or a registered program is; of several with one name, that of the machine asked.

        Raises ``NotFound`` for a name nobody has announced, ``InvalidArguments`` when only other machines have it twice.
        """
        ...

    @action(idempotent=True)
    async def list_agents(self, machine: str = "") -> list[AgentView]:
        """Everybody known, by name: agents of the fleet, and programs that are registered."""
        ...

    @action(idempotent=True)
    async def discover(self, capability: str, machine: str = "") -> list[AgentView]:
        """Registered programs with this capability, by name."""
        ...

    def watch(self, machine: str = "") -> AsyncGenerator[DirectoryChange, None]:
        """Everybody there is, then every change."""
        ...


Fits = Literal["yes", "no", "unknown"]


class LoadVerdict(Struct, frozen=True, kw_only=True):
    """Whether a planned load would fit. ``left`` is what would remain, in the unit asked; ``why`` explains in words."""

    fits: Fits
    left: float
    why: str


class PlannedLoad(Struct, frozen=True, kw_only=True):
    """Something that would run on ``machine``: ``amount`` more percent of CPU, or MiB of RAM."""

    machine: str
    kind: Literal["cpu", "ram"]
    amount: float


class Outlook(Struct, frozen=True, kw_only=True):
    """What a plan would come to: a verdict for each load in its order, the worst of them, and agents (``Name@machine``)
    that would be gone."""

    fits: Fits
    verdicts: list[LoadVerdict]
    gone: list[str]


@contract("SystemDigitalTwin")
class Twin(Protocol):
    """A picture of the machines, and what would become of it if."""

    @action(idempotent=True)
    async def get_metrics(self) -> list[MachineReading]:
        """The newest reading of every machine."""
        ...

    @action(idempotent=True)
    async def get_history(self, machine: str = "", seconds: float = 3600.0) -> list[MachineReading]:
        """Readings of the last ``seconds``, oldest first, of one machine or of all; six hours are kept."""
        ...

    @action(idempotent=True)
    async def get_all_agents(self) -> list[AgentView]:
        """Everybody the directory knows."""
        ...

    @action(idempotent=True)
    async def get_ok_agents(self) -> list[AgentView]:
        """Those of them that are up, be it degraded."""
        ...

    @action(idempotent=True)
    async def get_agent_info(self, name: str) -> AgentView:
        """One of them; raises as :meth:`Directory.get_agent_endpoint`."""
        ...

    @action(idempotent=True)
    async def what_if(self, loads: list[PlannedLoad], without: tuple[str, ...] = ()) -> Outlook:
        """Would all of ``loads`` fit at once, with the machines in ``without`` switched off? Changes nothing.

        Raises ``NotFound`` for a machine that was never read.
        """
        ...

    @action(idempotent=True)
    async def simulate_load(
        self, kind: Literal["cpu", "ram"], amount: float, machine: str = "mainpc"
    ) -> LoadVerdict:
        """Would ``amount`` more (percent of CPU, or MiB of RAM) fit on that machine?"""
        ...
