"""Groups that are restarted as a whole: the real supervisor, simulated processes, virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

from simulated import Manner, SimulatedKeeper, agent

from tandem.agent.testing import virtual_time
from tandem.fleet.model import AgentConfig, RestartPolicy
from tandem.supervise.escalation import Level
from tandem.supervise.lifecycle import UP, Breaker, Phase, Restart, Start
from tandem.supervise.supervisor import Supervisor
from tandem.supervise.views import agent_view

HASTY = RestartPolicy(escalate_after=3)
DIES = Manner(ready_s=0.1, lives_s=0.5)


def chain(**more: Any) -> list[AgentConfig]:
    """Db <- Middle <- Front in one group, and a neighbour in another that needs Db."""
    return [
        agent("Db"), agent("Middle", "Db@m1", restart=HASTY, **more), agent("Front", "Middle@m1"),
        agent("Guest", "Db@m1", group="h"),
    ]  # fmt: skip


async def regroups(supervisor: Supervisor) -> None:
    """Return as soon as a group is being restarted."""
    while not supervisor.regrouping.rounds:  # noqa: ASYNC110 - virtual time
        await asyncio.sleep(0.01)


async def up(keeper: SimulatedKeeper, agents: list[AgentConfig]) -> Supervisor:
    supervisor = keeper.node(agents)
    for config in agents:
        supervisor.runners[config.name].feed(Start())
    await asyncio.sleep(0.45)
    return supervisor


def events(keeper: SimulatedKeeper, what: str, after: float = 0.45) -> list[str]:
    return [name for at, event, name in keeper.history if event == what and at > after]


def level(supervisor: Supervisor, name: str) -> Level | None:
    alarm = supervisor.regrouping.alarm_of(supervisor.runners[name])
    return alarm.level if alarm is not None else None


@virtual_time
async def test_the_group_ends_dependants_first_and_starts_needs_first() -> None:
    """One over its intensity takes its group along, in order; another group and everybody's counters are left alone."""
    keeper = SimulatedKeeper()
    keeper.manners["Middle"] = DIES
    supervisor = await up(keeper, chain())
    await regroups(supervisor)
    keeper.manners["Middle"] = Manner()
    await asyncio.sleep(2.0)
    order = [(what, name) for at, what, name in keeper.history if name in ("Db", "Front") and at > 0.5]
    assert order == [("term", "Front"), ("end", "Front"), ("term", "Db"), ("end", "Db"), ("spawn", "Db"), ("spawn", "Front")]
    middle = [at for at, what, name in keeper.history if (what, name) == ("spawn", "Middle")][-1]
    db, front = (
        next(at for at, what, name in reversed(keeper.history) if (what, name) == ("spawn", n)) for n in ("Db", "Front")
    )
    assert db < middle < front and "Guest" not in events(keeper, "term")
    assert {name: runner.state.restarts for name, runner in supervisor.runners.items() if name in ("Db", "Front", "Guest")} == {
        "Db": 0, "Front": 0, "Guest": 0
    }  # fmt: skip
    assert supervisor.runners["Middle"].state.breaker is Breaker.HALF_OPEN
    assert level(supervisor, "Middle") is Level.GROUP
    await asyncio.sleep(10.0)
    assert level(supervisor, "Middle") is None and not supervisor.order.held
    supervisor.close()


@virtual_time
async def test_what_does_not_help_is_told_to_the_operator_and_the_group_is_left_alone() -> None:
    """One restart of the group, one word to the operator, then only slow tries of the culprit for an hour."""
    keeper = SimulatedKeeper()
    keeper.manners["Middle"] = DIES
    supervisor = await up(keeper, chain())
    await asyncio.sleep(10.0)
    assert level(supervisor, "Middle") is Level.OPERATOR
    view = agent_view(supervisor, supervisor.runners["Middle"])
    (issue,) = view.issues
    assert view.escalated == "operator" and agent_view(supervisor, supervisor.runners["Front"]).escalated == ""
    assert "restarting its group g did not help" in issue and issue.endswith("tandem restart Middle")
    calm = len(keeper.history)
    await asyncio.sleep(3600.0)
    spawned = [name for _, what, name in keeper.history[calm:] if what == "spawn"]
    assert set(spawned) == {"Middle"} and len(spawned) <= 3600 / 24 + 1
    supervisor.close()


@virtual_time
async def test_the_operators_restart_mends_the_book() -> None:
    """After a mend and ``restart`` nothing is said any more; the breaker is closed from the first moment."""
    keeper = SimulatedKeeper()
    keeper.manners["Middle"] = DIES
    supervisor = await up(keeper, chain())
    await asyncio.sleep(10.0)
    keeper.manners["Middle"] = Manner()
    supervisor.runners["Middle"].feed(Restart())
    await asyncio.sleep(1.0)
    assert level(supervisor, "Middle") is None and supervisor.runners["Front"].state.phase in UP
    supervisor.close()


@virtual_time
async def test_one_that_is_alone_or_wants_it_so_goes_to_the_operator_at_once() -> None:
    """Nobody is restarted for an agent alone in its group, under ``escalate_to: operator``, or within a rollout."""
    alone = agent("Middle", "Db@m1", group="own", restart=HASTY)
    private = agent("Middle", "Db@m1", restart=RestartPolicy(escalate_after=3, escalate_to="operator"))
    for culprit, rolling, words in (
        (alone, False, "alone in its group"),
        (private, False, "its policy"),
        (agent("Middle", "Db@m1", restart=HASTY), True, "a rollout is under way"),
    ):
        keeper = SimulatedKeeper()
        keeper.manners["Middle"] = DIES
        began = asyncio.get_running_loop().time()
        supervisor = await up(keeper, [agent("Db"), culprit])
        supervisor.regrouping.is_rolling = lambda rolling=rolling: rolling
        await asyncio.sleep(5.0)
        alarm = supervisor.regrouping.alarm_of(supervisor.runners["Middle"])
        assert alarm is not None and alarm.level is Level.OPERATOR and words in alarm.why
        assert "Db" not in events(keeper, "term", began)
        supervisor.close()


@virtual_time
async def test_one_that_does_not_end_holds_the_group_up_for_its_grace_only() -> None:
    """A deaf member is killed after its grace; then all start, and nobody twice."""
    keeper = SimulatedKeeper()
    keeper.manners["Middle"] = DIES
    keeper.manners["Front"] = Manner(leaves_s=1e9)
    supervisor = await up(keeper, chain())
    await regroups(supervisor)
    keeper.manners["Middle"] = Manner()
    await asyncio.sleep(1.0)
    assert supervisor.runners["Front"].state.phase is Phase.DRAINING and "Db" not in events(keeper, "term")
    await asyncio.sleep(20.0)
    assert all(supervisor.runners[name].state.phase in UP for name in ("Db", "Middle", "Front"))
    assert events(keeper, "spawn").count("Db") == 1 and events(keeper, "spawn").count("Front") == 1
    supervisor.close()


@virtual_time
async def test_a_new_node_goes_on_with_a_restart_and_knows_the_alarms() -> None:
    """The node is replaced in the middle: the group still ends in order, starts once, and is not restarted again."""
    keeper = SimulatedKeeper()
    keeper.manners["Middle"] = DIES
    keeper.manners["Front"] = Manner(leaves_s=3.0)
    agents = chain()
    supervisor = await up(keeper, agents)
    await regroups(supervisor)
    await asyncio.sleep(1.0)
    supervisor.close()
    supervisor = keeper.node(agents)
    await asyncio.sleep(10.0)
    order = [(what, name) for at, what, name in keeper.history if name in ("Db", "Front") and at > 0.5]
    assert order == [("term", "Front"), ("end", "Front"), ("term", "Db"), ("end", "Db"), ("spawn", "Db"), ("spawn", "Front")]
    assert level(supervisor, "Middle") is Level.OPERATOR
    supervisor.close()


@virtual_time
async def test_an_agent_that_never_comes_up_escalates_however_slowly_it_dies() -> None:
    """With the numbers of the fleet file's defaults: ten quick deaths in a row are too many, though never ten a minute."""
    keeper = SimulatedKeeper()
    keeper.manners["Middle"] = Manner(ready_s=1e9, lives_s=4.0)
    agents = [agent("Db"), agent("Middle", "Db@m1")]
    supervisor = await up(keeper, agents)
    await asyncio.sleep(300.0)
    assert level(supervisor, "Middle") is Level.OPERATOR
    assert events(keeper, "spawn").count("Db") == 1
    supervisor.close()
