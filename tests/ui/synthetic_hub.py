"""A hub's pages over a made-up fleet of any size and state, without its processes.

Everything between the fleet's picture and the browser is the hub's own: view, gate, HTTP, pages, live changes.
"""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from tandem.core import clock
from tandem.core.errors import NotFound, PermissionDenied
from tandem.core.health import HealthReport, Status
from tandem.core.ids import AgentId, new_id
from tandem.core.paths import Home
from tandem.core.tasks import end
from tandem.errors import ErrorReport, Severity
from tandem.errors.desk import ErrorStats, IncidentDesk, IncidentDetail, IncidentPage, IncidentView
from tandem.errors.incident import Judgement, Verb
from tandem.errors.listing import IncidentQuery
from tandem.fleet.model import HERE, AgentConfig, Fleet, GroupConfig, InfraPorts, MachineConfig
from tandem.hub.changes import Changes
from tandem.hub.gate import Gate
from tandem.hub.http import make_app
from tandem.hub.objectives import Standing
from tandem.hub.picture import AgentPicture, Figures, MachinePicture, ServicePicture
from tandem.hub.predict import Forecast
from tandem.hub.recovery import Attempt
from tandem.hub.series import MAX_POINTS, History, Point
from tandem.hub.serving import Serving
from tandem.hub.sessions import Sessions
from tandem.hub.view import HubView
from tandem.hub.watch import FleetWatch
from tandem.security import Principal
from tandem.telemetry.waterfall import Row, TurnSummary

MACHINES = ("mainpc", "pc2")
GROUP_SIZE = 7
INFRA = InfraPorts(nats=1, leaf=2, monitor=3, join=4)
DAY_S = 86_400.0
"""Pictures are told once and must not grow old while one looks."""
TELL_S = 0.5
SEVERITIES = (Severity.ERROR, Severity.WARNING, Severity.CRITICAL, Severity.INFO)
LONG = "a message that goes on and on, as those of libraries do; " * 40
"""Cut by the page, not by the store."""

T = TypeVar("T")


class Desk:
    """Incidents as a hub keeps them; nothing is wrong until :meth:`report`."""

    def __init__(self, folder: Path, changes: Changes):
        self._desk = IncidentDesk(folder / "incidents.db", {})
        self._changes = changes

    async def open(self) -> None:
        await self._desk.open()
        self._telling = asyncio.create_task(self._tell())

    async def close(self) -> None:
        await end(self._telling)
        await self._desk.close()

    async def report(self, *reports: ErrorReport) -> None:
        await self._desk.take(reports)

    async def _tell(self) -> None:
        """As the hub does."""
        while True:
            await asyncio.sleep(TELL_S)
            if self._changes.listeners:
                for incident in await self._desk.news():
                    self._changes.tell("incident", incident.id, incident)

    async def list_incidents(self, all_states: bool = False, limit: int = 100) -> list[IncidentView]:
        return await self._desk.incidents(all_states=all_states, limit=limit)

    async def search_incidents(self, query: IncidentQuery) -> IncidentPage:
        return await self._desk.search(query)

    async def show_incident(self, name: str) -> IncidentDetail:
        return await self._desk.show(name)

    async def judge(self, name: str, verb: Verb, note: str = "", until: float | None = None) -> IncidentView:
        incident = await self._desk.find(name)
        at = max(clock.wall(), incident.changed)
        decided = await self._desk.judge(
            Judgement(key=incident.key, verb=verb, by="operator", at=at, since=incident.first, until=until, note=note)
        )
        assert decided is not None
        return decided

    async def acknowledge_incident(self, name: str, note: str = "") -> IncidentView:
        return await self.judge(name, "ack", note)

    async def snooze_incident(self, name: str, seconds: float, note: str = "") -> IncidentView:
        return await self.judge(name, "snooze", note, clock.wall() + seconds)

    async def resolve_incident(self, name: str, note: str = "") -> IncidentView:
        return await self.judge(name, "resolve", note)

    async def reopen_incident(self, name: str, note: str = "") -> IncidentView:
        return await self.judge(name, "reopen", note)

    async def error_stats(self, seconds: float = 86_400.0) -> ErrorStats:
        return await self._desk.stats(seconds)


class NoTurns:
    """Nothing was asked yet."""

    async def recent(self, limit: int = 50, search: str = "", since: float = 0.0) -> list[TurnSummary]:
        return []

    async def turn(self, name: str) -> tuple[TurnSummary, list[Row]]:
        raise NotFound(f"no turn {name}")


class NoHistory(History):
    """Nothing was measured yet."""

    def __init__(self) -> None:
        """Without a file."""

    async def curve(self, machine: str, agent: str, seconds: float, points: int = MAX_POINTS) -> list[Point]:
        return []


class NoJudgements:
    """Nothing follows from nothing."""

    async def forecasts(self) -> list[Forecast]:
        return []

    async def standings(self) -> list[Standing]:
        return []

    async def recoveries(self, agent: str = "", limit: int = 100) -> list[Attempt]:
        return []


class SyntheticHub:
    """``agents`` in groups of seven on two machines, ``name`` and a number each; the first of a group is needed by the others."""

    def __init__(self, agents: int, folder: Path, name: str = "Agent"):
        self.changes = Changes()
        configs = dict(_configs(agents, name))
        groups: dict[str, GroupConfig] = {}
        for config in configs.values():
            known = groups.get(config.group, GroupConfig(name=config.group, machine=config.machine))
            groups[config.group] = replace(known, agents=[*known.agents, str(config.id)])
        fleet = Fleet(
            name="synthetic",
            machines={machine: MachineConfig(name=machine, host=None, host_key=HERE, infra=INFRA) for machine in MACHINES},
            groups=groups,
            agents=configs,
        )
        dirs = Home(folder).machine(MACHINES[0])
        self.watch = FleetWatch(MACHINES[0], MACHINES, dirs, self.changes)
        self._pictures = {
            machine: MachinePicture(
                machine=machine, at=clock.wall() + DAY_S, up_s=60.0,
                services=[ServicePicture(name=kind, machine=machine, state="healthy") for kind in ("nats", "valkey-control")],
                agents=[_picture(config) for config in configs.values() if config.machine == machine],
            )
            for machine in MACHINES
        }  # fmt: skip
        for picture in self._pictures.values():
            self.watch.keep(picture)
        self.desk = Desk(folder, self.changes)
        view = HubView(
            AgentId.of("ObservabilityHub", MACHINES[0]), fleet, dirs, self.watch, self.changes, self.desk, NoTurns(), NoHistory(),
            lambda: False, lambda *_names: None, _metrics, NoJudgements(),
        )  # fmt: skip
        self.sessions = Sessions(folder / "sessions.json")
        gate = Gate(_authenticate, self.sessions, "ObservabilityHub@synthetic")
        self.app = make_app(view, gate, _health)

    def set_state(self, agent: str, state: str) -> None:
        """Let an agent (``Name@machine``) change; pages hear of it. From the server's thread only."""
        name, _, machine = agent.partition("@")
        before = self._pictures[machine]
        changed = [replace(one, state=state) if one.name == name else one for one in before.agents]
        self._pictures[machine] = replace(before, agents=changed)
        self.watch.keep(self._pictures[machine])

    def lose(self, machine: str) -> None:
        """Nothing was heard of a machine for a day. From the server's thread only."""
        self._pictures[machine] = replace(self._pictures[machine], at=clock.wall() - DAY_S)
        self.watch.keep(self._pictures[machine])


def fault(number: int, at: float) -> ErrorReport:
    """An error of a cause of its own, different in severity, agent and length of message from that of the next ``number``."""
    letters = "".join(chr(ord("a") + int(digit)) for digit in f"{number:04d}")
    return ErrorReport(
        id=new_id(), agent=f"Agent{number:04d}", machine=MACHINES[number % 2], type=f"Fault{letters.title()}",
        message=LONG if number % 10 == 0 else f"could not open the {letters} of the house", severity=SEVERITIES[number % 4], time=at,
    )  # fmt: skip


def _configs(count: int, name: str) -> Iterator[tuple[AgentId, AgentConfig]]:
    for number in range(count):
        # Two thirds live on the first machine, as in the fleet this stands for.
        group = number // GROUP_SIZE
        machine = MACHINES[group % 3 == 2]
        leader = AgentId.of(f"{name}{group * GROUP_SIZE:04d}", machine)
        identity = AgentId.of(f"{name}{number:04d}", machine)
        needs = [] if identity == leader else [str(leader)]
        yield identity, AgentConfig(name=identity.name, machine=machine, group=f"group_{group:03d}", needs=needs)


def _picture(config: AgentConfig) -> AgentPicture:
    return AgentPicture(
        name=config.name, machine=config.machine, group=config.group, state="healthy", verdict="up", pid=4242,
        ready_after_s=0.2, figures=Figures(rss_bytes=20 << 20, cpu=0.01, requests_hz=3.0),
    )  # fmt: skip


def _authenticate(_token: str) -> Principal:
    raise PermissionDenied("not a token of this fleet")


async def _health() -> HealthReport:
    return HealthReport(status=Status.HEALTHY, service="ObservabilityHub", machine=MACHINES[0], timestamp=clock.wall())


async def _metrics() -> str:
    return ""


class Served:
    """A synthetic hub that listens on ``origin`` (``http://localhost:port``)."""

    def __init__(self, hub: SyntheticHub, origin: str, loop: asyncio.AbstractEventLoop):
        self.hub = hub
        self.origin = origin
        self._loop = loop

    def link(self) -> str:
        """Signs a browser in, once."""
        return f"{self.origin}/login#{self.hub.sessions.invite('operator')}"

    def finish(self, work: Coroutine[Any, Any, T]) -> T:
        """Do ``work`` in the server's thread and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(60)

    def do(self, work: Callable[[], None]) -> None:
        """Run ``work`` in the server's thread."""
        self._loop.call_soon_threadsafe(work)


@contextmanager
def serve(agents: int, folder: Path, name: str = "Agent") -> Iterator[Served]:
    """Serve a synthetic fleet on a free port of loopback, in a thread of its own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="synthetic-hub")  # tandem: ignore[threads-and-asyncio]
    thread.start()

    def finish(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result(60)

    try:
        hub, serving = finish(_begin(agents, folder, name))
        try:
            yield Served(hub, f"http://localhost:{serving.port}", loop)
        finally:
            finish(serving.close())
            finish(hub.desk.close())
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


async def _begin(agents: int, folder: Path, name: str) -> tuple[SyntheticHub, Serving]:
    hub = SyntheticHub(agents, folder, name)
    await hub.desk.open()
    serving = Serving(hub.app, socket.create_server(("127.0.0.1", 0)))
    await serving.start()
    return hub, serving
