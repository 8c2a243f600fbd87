"""What an observability hub answers about incidents."""

from __future__ import annotations

from typing import Protocol

from tandem.agent import action, contract
from tandem.errors.desk import ErrorStats, IncidentDetail, IncidentPage, IncidentView
from tandem.errors.legacy import Phase
from tandem.errors.listing import IncidentQuery
from tandem.hub.objectives import Standing
from tandem.hub.picture import AgentPicture, FleetPicture
from tandem.hub.predict import Forecast
from tandem.hub.recovery import Attempt
from tandem.hub.siblings import Verb

HUB = "ObservabilityHub"
MONITOR = "PredictiveHealthMonitor"


@contract(HUB)
class Incidents(Protocol):
    """``name`` is an incident's id, the last letters of one, or its key; unknown ones raise ``NotFound``."""

    @action(idempotent=True)
    async def list_incidents(self, all_states: bool = False, limit: int = 100) -> list[IncidentView]:
        """Live incidents, or all that are kept; the latest first."""
        ...

    @action(idempotent=True)
    async def search_incidents(self, query: IncidentQuery) -> IncidentPage:
        """A piece of a list, and how many there are."""
        ...

    @action(idempotent=True)
    async def show_incident(self, name: str) -> IncidentDetail:
        """One incident with its reports."""
        ...

    @action(idempotent=True)
    async def acknowledge_incident(self, name: str, note: str = "") -> IncidentView:
        """Somebody takes care of it: no further alerts."""
        ...

    @action(idempotent=True)
    async def snooze_incident(self, name: str, seconds: float, note: str = "") -> IncidentView:
        """Silent for so long, then open again."""
        ...

    @action(idempotent=True)
    async def resolve_incident(self, name: str, note: str = "") -> IncidentView:
        """It is over; the same error makes a new incident."""
        ...

    @action(idempotent=True)
    async def reopen_incident(self, name: str, note: str = "") -> IncidentView:
        """Take back what was decided."""
        ...

    @action(idempotent=True)
    async def error_stats(self, seconds: float = 86_400.0) -> ErrorStats:
        """Figures of the incidents with an error within the last ``seconds``."""
        ...

    @action(idempotent=True)
    async def replay_errors(self, seconds: float = 604_800.0) -> int:
        """Count reports of the last ``seconds`` that are stored in the stream and were not counted; returns how many."""
        ...

    @action(idempotent=True)
    async def migrate_errors(self, phase: Phase) -> Phase:
        """Let the old error bus enter this phase; returns the one it was in."""
        ...


@contract(HUB)
class Doors(Protocol):
    """Letting the operator's browsers in and out; only the operator may."""

    @action
    async def invite_browser(self) -> str:
        """A code for ``/login#<code>`` that signs one browser in, once, within two minutes."""
        ...

    @action(idempotent=True)
    async def end_sessions(self) -> int:
        """Sign every browser of the operator out of this hub; how many there were."""
        ...


@contract(HUB)
class Orders(Protocol):
    """Steering agents of any machine; only the operator may."""

    @action
    async def order_agent(self, verb: Verb, agent: str) -> list[AgentPicture]:
        """Start, stop or restart ``Name@machine`` and wait until it is there (at most 90 s); how it is then.

        Raises :class:`NotFound`, and :class:`Unreachable` when the other machine's hub is away.
        """
        ...


@contract(HUB)
class Measurements(Protocol):
    """What a hub has measured of its machine, and what follows from it."""

    @action(idempotent=True)
    async def picture(self) -> FleetPicture:
        """The whole fleet as this hub sees it now."""
        ...

    @action(idempotent=True)
    async def forecasts(self) -> list[Forecast]:
        """Faults of this machine's agents that are foreseen within the next hours; computed when asked."""
        ...

    @action(idempotent=True)
    async def standings(self) -> list[Standing]:
        """How this machine keeps each objective, as of the last minute."""
        ...


@contract(MONITOR)
class Recoveries(Protocol):
    """What the health monitor of a machine tried for its agents."""

    @action(idempotent=True)
    async def recoveries(self, agent: str = "", limit: int = 100) -> list[Attempt]:
        """What was tried and whether it helped, the latest first; of one agent (bare name) or of all, for 90 days."""
        ...
