"""What an operator asks of a whole machine: bring up, take down, start, stop, restart; each with progress."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from tandem.core import clock
from tandem.fleet.model import Fleet
from tandem.supervise.api import AgentView, Began, Done, Progress, ServiceView, Verb
from tandem.supervise.lifecycle import SERVING, UP, AgentState, Event, Goal, Phase, Restart, Start, Stop
from tandem.supervise.runner import Runner
from tandem.supervise.supervisor import Supervisor
from tandem.supervise.views import agent_view, invalid_view, service_view, verdict
from tandem.supervise.waiting import until

Tell = Callable[[Began | Progress], None]

_EVENTS: dict[Verb, Event] = {"start": Start(), "stop": Stop(), "restart": Restart()}


class Operations:
    """Acts on the supervisor and follows what comes of it."""

    def __init__(self, supervisor: Supervisor, fleet: Fleet, machine: str):
        self.fleet = fleet
        self._supervisor = supervisor
        self._machine = machine
        self._began_at = clock.monotonic()
        self._newest_order: dict[str, object] = {}
        """By agent: who obeyed last; an earlier order does not wait for what a later one has undone."""

    async def bring_up(self, names: Iterable[str], tell: Tell) -> Done:
        """Start agents (bare names; none: all) and what they need; return when each is up or in trouble."""
        began_at = clock.monotonic()
        chosen = self._with_needs(list(names) or list(self._supervisor.configs))
        began = [runner for runner in chosen if runner.state.goal is not Goal.RUN]
        tell(Began([str(self._supervisor.configs[runner.name].id) for runner in began]))
        with _Following(self._supervisor, began_at, tell):
            for runner in chosen:
                self._newest_order[runner.name] = began
                if runner.state.phase not in SERVING:
                    runner.feed(Start())
            await self._settled(chosen, lambda runner: self._is_settled(runner))
        return Done(
            views=[*self._views(chosen), *self._invalid()],
            services=self._services(),
            phases=self._phases(began_at, chosen),
        )

    async def order(self, verb: Verb, names: Iterable[str], tell: Tell, *, spare_stopped: bool = False) -> Done:
        """Start, stop or restart agents; return when each is where it should be, or in trouble.

        ``spare_stopped``: not those that are stopped, or are to be.
        """
        runners = [self._supervisor.runners[name] for name in names]
        if spare_stopped:
            runners = [runner for runner in runners if runner.state.goal is Goal.RUN]
        mine = object()
        self._newest_order.update({runner.name: mine for runner in runners})

        def overruled(runner: Runner) -> bool:
            return self._newest_order[runner.name] is not mine

        before = {runner.name: runner.state.instance for runner in runners}
        with _Following(self._supervisor, clock.monotonic(), tell):
            for runner in runners:
                runner.feed(_EVENTS[verb])
            if verb == "stop":
                await self._settled(runners, lambda r: _is_off(r) or overruled(r))
            else:
                fresh = verb == "restart"
                await self._settled(
                    runners,
                    lambda r: (
                        overruled(r)
                        or (
                            self._is_settled(r)
                            and not (fresh and r.state.instance == before[r.name] and r.state.phase in SERVING)
                        )
                    ),
                )
        notes = [f"{r.name}: another order came in between" for r in runners if overruled(r)]
        return Done(views=self._views(runners), notes=notes)

    async def take_down(self, tell: Tell) -> Done:
        """Stop every agent, each only when nothing that needs it is left."""
        with _Following(self._supervisor, clock.monotonic(), tell):
            await self.until(self._stop_the_unneeded)
        return Done()

    def _stop_the_unneeded(self) -> bool:
        """Stop whoever nobody needs any more (needs have no cycles); whether everybody is off."""
        left = [runner for runner in self._supervisor.agents() if not _is_off(runner)]
        needed = {need for runner in left for need in runner.subject.needs}
        for runner in left:
            if runner.name not in needed and runner.state.goal is Goal.RUN:
                runner.feed(Stop())
        return all(_is_off(runner) for runner in left)

    def _with_needs(self, names: list[str]) -> list[Runner]:
        chosen: dict[str, Runner] = {}
        while names:
            name = names.pop()
            runner = self._supervisor.runners.get(name)
            if runner is not None and runner.subject.kind == "agent" and name not in chosen:
                chosen[name] = runner
                names += runner.subject.needs
        order = list(self._supervisor.configs)
        return sorted(chosen.values(), key=lambda runner: order.index(runner.name))

    def _is_settled(self, runner: Runner) -> bool:
        return verdict(self._supervisor, runner) != "pending"

    async def _settled(self, runners: list[Runner], is_settled: Callable[[Runner], bool]) -> None:
        await self.until(lambda: all(is_settled(runner) for runner in runners))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition`` holds, looking after every change of anything."""
        await until(self._supervisor, condition)

    def _views(self, runners: Iterable[Runner]) -> list[AgentView]:
        return [agent_view(self._supervisor, runner) for runner in runners]

    def _invalid(self) -> list[AgentView]:
        return [invalid_view(bad) for bad in self.fleet.invalid.values() if bad.machine == self._machine]

    def _services(self) -> list[ServiceView]:
        return [service_view(self._supervisor, self._machine, name) for name in self._supervisor.servers]

    def _phases(self, began_at: float, chosen: list[Runner]) -> dict[str, float]:
        """Seconds since ``began_at`` at which the stages of a start were reached."""

        def last(runners: Iterable[Runner]) -> float:
            times = [runner.state.ready_at or began_at for runner in runners]
            return max(0.0, max(times, default=began_at) - began_at)

        supervisor = self._supervisor
        return {
            "servers ready": last(supervisor.runners[name] for name in supervisor.servers),
            "zygote ready": last([supervisor.runners["zygote"]]),
            "last agent ready": last(runner for runner in chosen if runner.state.phase in UP),
        }


def _is_off(runner: Runner) -> bool:
    return runner.state.goal is Goal.STOP and runner.state.phase in (Phase.STOPPED, Phase.INVALID)


class _Following:
    """Tells every change of phase while it is open."""

    def __init__(self, supervisor: Supervisor, began_at: float, tell: Tell):
        self._supervisor = supervisor
        self._began_at = began_at
        self._tell = tell

    def __enter__(self) -> None:
        self._unwatch = self._supervisor.watch(self._moved)

    def __exit__(self, *_error: object) -> None:
        self._unwatch()

    def _moved(self, runner: Runner, before: AgentState) -> None:
        kind = runner.subject.kind
        if runner.state.phase is before.phase or kind == "zygote":
            return
        self._tell(
            Progress(
                at_s=clock.monotonic() - self._began_at,
                kind=kind,
                name=runner.name,
                state=runner.state.phase,
                note=runner.state.note,
                ready_after_s=runner.state.ready_after_s if runner.state.phase in SERVING else None,
            )
        )
