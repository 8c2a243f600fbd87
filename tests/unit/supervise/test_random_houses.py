"""Random houses: the real supervisor, simulated processes, virtual time; orders, deaths, zygotes and nodes come and go."""

from __future__ import annotations

import asyncio
from typing import Any

import hypothesis.strategies as st
from hypothesis import given, settings
from simulated import Manner, SimulatedKeeper, agent

from tandem.agent.virtual_time import run
from tandem.fleet.model import AgentConfig, RestartPolicy
from tandem.supervise.lifecycle import UP, Goal, Phase, Restart, Start, Stop
from tandem.supervise.release import ZYGOTE
from tandem.supervise.supervisor import Supervisor
from tandem.supervise.views import agent_view

HASTY = RestartPolicy(escalate_after=3)
GONE_AFTER_S = 30.0
"""More than every grace and the KILLs after it."""

SETTLED_AFTER_S = 200.0
"""More than every delay, start and group restart together."""

ORDERS = {"stop": Stop, "start": Start, "restart": Restart}
Deed = tuple[float, str, str]


@st.composite
def houses(draw: st.DrawFn) -> tuple[list[AgentConfig], dict[str, Manner], list[Deed]]:
    """Up to six agents in two groups with needs, manners of every kind, and what people and chance do, often in one breath."""
    names = [f"A{n}" for n in range(draw(st.integers(2, 6)))]
    agents, manners = [], {}
    for index, name in enumerate(names):
        needs = draw(st.lists(st.sampled_from(names[:index]), unique=True, max_size=2)) if index else []
        agents.append(
            agent(
                name, *(f"{need}@m1" for need in needs), group=draw(st.sampled_from("gh")), restart=HASTY,
                on_dependency=draw(st.sampled_from(["wait", "restart", "degrade"])), start_timeout_s=6.0,
                launch=draw(st.sampled_from(["fork", "exec"])),
            )
        )  # fmt: skip
        manners[name] = Manner(
            ready_s=draw(st.sampled_from([0.1, 0.1, 2.0, 1e9])),
            lives_s=draw(st.sampled_from([None, None, 0.05, 0.5, 3.0, 9.0, 12.0])),
            leaves_s=draw(st.sampled_from([0.05, 2.0, 1e9])),
            born_s=draw(st.sampled_from([0.0, 0.02, 1.0])) if agents[-1].launch == "fork" else 0.0,
            fails=draw(st.sampled_from(["", "", "", "no memory"])),
        )
    waits = st.sampled_from([0.0, 0.0, 0.01, 0.05, 0.3, 1.0, 2.5, 7.0, 15.0, 60.0])
    deeds = st.sampled_from(["stop", "stop", "start", "restart", "die", "die", "mend", "node", "zygote"])
    return agents, manners, draw(st.lists(st.tuples(waits, deeds, st.sampled_from(names)), max_size=25))


@given(houses())
@settings(max_examples=100, deadline=None)
def test_random_houses_stay_in_bounds(house: tuple[list[AgentConfig], dict[str, Manner], list[Deed]]) -> None:
    """Never two processes of one agent, a stop pre-empts whatever is under way and nothing starts after it, every state
    explains itself, no storm, and whatever is well in the end is up."""
    agents, manners, deeds = house
    run(lambda: _live(agents, manners, deeds))


async def _live(agents: list[AgentConfig], manners: dict[str, Manner], deeds: list[Deed]) -> None:
    keeper = SimulatedKeeper()
    keeper.manners = manners
    supervisor = keeper.node(agents)
    for config in agents:
        supervisor.runners[config.name].feed(Start())
    await asyncio.sleep(0.45)
    for wait, deed, name in deeds:
        await asyncio.sleep(wait)
        supervisor = _do(keeper, supervisor, agents, deed, name)
        _explain(supervisor)
    await asyncio.sleep(GONE_AFTER_S)
    for name in keeper.unwanted:
        assert supervisor.runners[name].state.phase is Phase.STOPPED and not keeper.living(name), name
    _no_storm(keeper, agents, len(deeds))
    keeper.unwanted.clear()
    for name in manners:
        keeper.manners[name] = Manner()
        if supervisor.runners[name].state.phase in (Phase.STOPPED, Phase.FAILED):
            supervisor.runners[name].feed(Start())
    await asyncio.sleep(SETTLED_AFTER_S)
    assert not supervisor.regrouping.rounds and not supervisor.order.held
    assert {runner.state.phase for runner in supervisor.agents()} <= UP
    assert all(len(keeper.living(name)) == 1 for name in (*manners, ZYGOTE))
    supervisor.close()


def _do(
    keeper: SimulatedKeeper, supervisor: Supervisor, agents: list[AgentConfig], deed: str, name: str
) -> Supervisor:
    """One deed; the supervisor from then on."""
    runner = supervisor.runners[name]
    match deed:
        case "stop":
            keeper.unwanted.add(name)
            runner.feed(Stop())
            assert runner.state.phase in (Phase.STOPPED, Phase.STOPPING, Phase.DRAINING), "a stop waits for nothing"
        case "start" | "restart":
            keeper.unwanted.discard(name)
            runner.feed(ORDERS[deed]())
        case "die":
            keeper.die(name)
        case "zygote":
            keeper.die(ZYGOTE)
        case "mend":
            keeper.manners[name] = Manner()
        case "node":
            supervisor.close()
            return keeper.node(agents)
    return supervisor


def _explain(supervisor: Supervisor) -> None:
    """What people are shown of every agent tells why it is not up, or what is being done about it."""
    for runner in supervisor.agents():
        view = agent_view(supervisor, runner)
        if view.state not in UP:
            assert view.note or view.issues, (view.name, view.state)
        if runner.state.goal is Goal.STOP:
            assert view.verdict == ("off" if view.state == Phase.STOPPED else "pending")


def _no_storm(keeper: SimulatedKeeper, agents: list[AgentConfig], deeds: int) -> None:
    """Within any minute nobody is made more often than its own delays, deaths of needs and one group restart allow."""
    for config in agents:
        made: list[Any] = [at for at, what, name in keeper.history if (what, name) == ("spawn", config.name)]
        for at in made:
            within = [other for other in made if at <= other < at + 60.0]
            assert len(within) <= 25 + 2 * deeds, (config.name, within)
