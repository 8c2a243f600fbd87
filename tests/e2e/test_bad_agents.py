"""Agents that misbehave: each is told apart, explained and contained, and the others serve on."""

from __future__ import annotations

import asyncio
import os
import signal
from typing import Any

import psutil
import pytest
from fleets import FRIEND, GREETER, fleet_of
from household import Household, MakeHousehold, eventually

from tandem.core.errors import TandemError, Unreachable

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]


def greets(household: Household) -> str:
    """What the healthy neighbour answers."""
    return str(call(household, "Greeter", "greet", name="Ada"))


def call(household: Household, agent: str, action: str, **arguments: Any) -> Any:
    async def run() -> Any:
        async with household.connected() as connection:
            return await getattr(connection.peer(agent), action)(**arguments)

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("entry", "state", "words"),
    [
        (
            "{class: fleet_agents.raises_at_import:X}",
            "backoff",
            ["exit code 1", "the flux capacitor is missing"],
        ),
        ("{class: fleet_agents.trouble:RaisesAtStart}", "backoff", ["exit code 1", "no cheese today"]),
        ("{class: fleet_agents.trouble:DiesAtOnce}", "backoff", ["exit code 3", "out of cheese"]),
        ("{class: fleet_agents.trouble:NeverReady, start_timeout_s: 1}", "backoff", ["not ready in time"]),
        ("{command: [/no/such/program]}", "backoff", ["/no/such/program"]),
        ("{command: ['false']}", "backoff", ["exit code 1"]),
    ],
    ids=[
        "raises at import",
        "raises at start",
        "dies at once",
        "never ready",
        "no such program",
        "ends at once",
    ],
)
def test_agent_that_cannot_start(
    make_household: MakeHousehold, entry: str, state: str, words: list[str]
) -> None:
    """It is tried again with growing delays; ``up`` and ``status`` say how it ended, its last words and what is next."""
    household = make_household(fleet_of(f"{GREETER}\n{FRIEND}\nBad: {entry}"))
    said = household.tandem("up", "--timeout", "60")
    assert said.status == 1
    assert household.tandem("status").status == 1
    eventually(lambda: household.agent("Bad")["state"] == state)
    for word in words:
        assert word in said.err, said.err
        eventually(lambda word=word: word in household.tandem("status", "Bad").out, f"{word!r} in status")
    assert household.agent("Bad")["restarts"] >= 1
    assert household.agent("Friend")["state"] == "healthy"
    assert greets(household) == "Hello Ada"


def test_needs_of_a_bad_agent(make_household: MakeHousehold) -> None:
    """Who needs an agent that cannot start waits and says for whom; whoever does not is up."""
    household = make_household(
        fleet_of(
            f"{GREETER}\nBad: {{class: fleet_agents.trouble:DiesAtOnce}}\n"
            "Waits: {class: fleet_agents.greeter:Friend, needs: [Bad]}"
        )
    )
    said = household.tandem("up", "--timeout", "60")
    assert said.status == 1
    assert "waits for Bad" in said.err
    assert household.agent("Waits")["state"] == "waiting"
    assert greets(household) == "Hello Ada"


def test_unwell_agent(make_household: MakeHousehold) -> None:
    """An agent that is ready and says it cannot do its job counts as down, with its fix, and holds nobody back."""
    household = make_household(
        fleet_of(
            "Unwell: {class: fleet_agents.trouble:Unwell}\nGreeter: {class: fleet_agents.greeter:Greeter, needs: [Unwell]}"
        )
    )
    said = household.tandem("up")
    assert said.status == 1
    assert "the cheese is missing (fix: buy cheese)" in said.err
    assert household.agent("Unwell")["state"] == "unhealthy"
    assert greets(household) == "Hello Ada"


def test_agent_not_required(make_household: MakeHousehold) -> None:
    """An agent marked ``required: false`` may fail without ``up`` and ``status`` counting the fleet as down."""
    household = make_household(
        fleet_of(f"{GREETER}\nBad: {{class: fleet_agents.trouble:DiesAtOnce, required: false}}")
    )
    household.up("--timeout", "60")
    assert household.tandem("status").status == 0


def test_agent_that_ignores_term(make_household: MakeHousehold) -> None:
    """It is killed after its grace, and ``stop`` tells the truth about when it is gone."""
    household = make_household(
        fleet_of(f"{GREETER}\nDeaf: {{class: fleet_agents.trouble:IgnoresTerm, stop_grace_s: 1}}")
    )
    household.up()
    pid = household.agent("Deaf")["pid"]
    said = household.tandem("stop", "Deaf")
    assert said.status == 0
    assert not psutil.pid_exists(pid)
    assert household.agent("Deaf")["state"] == "stopped"
    assert greets(household) == "Hello Ada"
    assert household.tandem("start", "Deaf").status == 0
    household.down()


def test_agent_that_forks(make_household: MakeHousehold) -> None:
    """Stopping an agent ends its children too, also those that left its process group and are deaf to TERM."""
    household = make_household(
        fleet_of(f"{GREETER}\nForks: {{class: fleet_agents.trouble:Forks, stop_grace_s: 1}}")
    )
    household.up()
    children = call(household, "Forks", "children")
    assert len(children) == 2
    assert all(map(psutil.pid_exists, children))
    assert household.tandem("stop", "Forks").status == 0
    eventually(lambda: not any(map(psutil.pid_exists, children)), "the end of the children")
    assert household.tandem("start", "Forks").status == 0
    household.down()


def test_children_of_a_killed_agent(make_household: MakeHousehold) -> None:
    """Children of an agent that was killed do not stay beside those of its successor."""
    household = make_household(
        fleet_of(f"{GREETER}\nForks: {{class: fleet_agents.trouble:Forks, stop_grace_s: 1}}")
    )
    household.up()
    children = call(household, "Forks", "children")
    assert len(children) == 2 and all(map(psutil.pid_exists, children))
    killed = household.agent("Forks")["pid"]
    os.kill(killed, signal.SIGKILL)
    eventually(lambda: household.agent("Forks")["pid"] not in (None, killed), "the successor")
    eventually(lambda: not any(map(psutil.pid_exists, children)), "the end of the children")


def test_killed_agent(make_household: MakeHousehold) -> None:
    """A killed agent is back by itself, on the same address; a call made meanwhile is answered, not lost."""
    household = make_household(fleet_of(f"{GREETER}\n{FRIEND}"))
    household.up()
    before = household.agent("Greeter")
    os.kill(before["pid"], signal.SIGKILL)
    assert greets(household) == "Hello Ada"
    after = eventually(lambda: row if (row := household.agent("Greeter"))["state"] == "healthy" else None)
    assert after["pid"] != before["pid"]
    assert after["port"] == before["port"]
    assert after["restarts"] == 1


def test_agent_that_was_called_in_vain(make_household: MakeHousehold) -> None:
    """Who called a stopped agent so often that its breaker opened is answered as soon as the agent was started again."""
    household = make_household(fleet_of(f"{GREETER}\n{FRIEND}"))
    household.up()
    assert household.tandem("stop", "Greeter").status == 0

    async def run() -> str:
        async with household.connected() as connection:
            for _ in range(6):
                with pytest.raises(Unreachable):
                    await connection.peer("Greeter").greet(name="Ada")
            started = await asyncio.to_thread(household.tandem, "start", "Greeter")
            assert started.status == 0, started.text
            return str(await connection.peer("Greeter").greet(name="Ada"))

    assert asyncio.run(run()) == "Hello Ada"


def test_frozen_agent(make_household: MakeHousehold) -> None:
    """An agent that is alive but does not react (SIGSTOP) is noticed, killed and replaced."""
    household = make_household(fleet_of(f"{GREETER}\n{FRIEND}"))
    household.up()
    frozen = household.agent("Greeter")["pid"]
    os.kill(frozen, signal.SIGSTOP)
    after = eventually(
        lambda: row if (row := household.agent("Greeter"))["pid"] not in (None, frozen) else None,
        "the successor",
    )
    assert not psutil.pid_exists(frozen)
    assert after["restarts"] == 1
    assert greets(household) == "Hello Ada"


def test_wrong_call(make_household: MakeHousehold) -> None:
    """Calls that do not fit are refused with a typed error that names the fault; the agent serves on."""
    household = make_household(fleet_of(GREETER))
    household.up()
    for action, arguments in (("greet", {"nmae": "Ada"}), ("greet", {"name": 3}), ("great", {"name": "Ada"})):
        with pytest.raises(TandemError) as caught:
            call(household, "Greeter", action, **arguments)
        assert caught.value.code in ("invalid_arguments", "unknown_action"), caught.value
    assert greets(household) == "Hello Ada"
