"""What goes wrong in an agent is on the error bus without a line of its author's."""

from __future__ import annotations

import asyncio
from typing import Protocol

import pytest

from tandem.agent import Agent, Event, action, contract, every, on
from tandem.agent.testing import fleet_of, virtual_time
from tandem.core.errors import NotFound, RemoteError, TandemError
from tandem.errors import Severity
from tandem.telemetry.tracing import start_turn


class Spoiled(Event, topic="test.spoiled"):
    what: str


@contract("Cook")
class CookContract(Protocol):
    async def burn(self) -> None: ...
    async def refuse(self) -> None: ...
    async def complain(self) -> str: ...
    async def drop(self) -> None: ...
    async def hang_up(self) -> None: ...


class Cook(Agent):
    """Does everything wrong."""

    @action
    async def burn(self) -> None:
        raise ZeroDivisionError("too hot")

    @action
    async def refuse(self) -> None:
        raise NotFound("no such dish")

    @action
    async def complain(self) -> str:
        receipt = await self.report_error("critical", "no salt", {"shelf": 3}, durable=True)
        return receipt.id

    @action
    async def drop(self) -> None:
        async def fall() -> None:
            raise OSError("slipped")

        self.spawn(fall(), "plate")

    @action
    async def hang_up(self) -> None:
        for _ in range(7):
            try:
                await self.peer("Waiter").serve()
            except TandemError:
                continue

    @on(Spoiled)
    async def throw_away(self, event: Spoiled) -> None:
        raise ValueError(event.what)

    @every(minutes=1)
    async def taste(self) -> None:
        raise RuntimeError("bland")


@virtual_time
async def test_an_unhandled_exception_of_an_action_is_reported() -> None:
    """The caller gets a typed error, the bus a report with place, action and turn."""
    async with fleet_of(Cook) as fleet:
        with start_turn() as root, pytest.raises(RemoteError):
            await fleet.peer(CookContract).burn()
        [report] = fleet.reported("Cook")
    assert (report.type, report.message, report.severity) == ("ZeroDivisionError", "too hot", Severity.ERROR)
    assert (report.agent, report.machine, report.context) == ("Cook", "mainpc", {"action": "burn"})
    assert report.frames[0].split(":")[1] == "burn"
    assert report.turn == root.context.turn


@virtual_time
async def test_a_typed_refusal_is_an_answer_and_no_report() -> None:
    """Errors an agent raises on purpose go to the caller only."""
    async with fleet_of(Cook) as fleet:
        with pytest.raises(NotFound):
            await fleet.peer(CookContract).refuse()
        assert fleet.reported() == []


@virtual_time
async def test_event_handlers_timers_and_tasks_are_reported() -> None:
    """A failing handler, timer or task is named in its report."""
    async with fleet_of(Cook) as fleet:
        await fleet.announce(Spoiled(what="milk"))
        await fleet.peer(CookContract).drop()
        await asyncio.sleep(61)
        found = {report.type: report.context for report in fleet.reported()}
    assert found == {
        "ValueError": {"event": "test.spoiled", "handler": "throw_away"},
        "OSError": {"task": "plate"},
        "RuntimeError": {"task": "taste"},
    }


@virtual_time
async def test_an_author_reports_in_words() -> None:
    """The older form of the call is understood, and its receipt names the report."""
    async with fleet_of(Cook) as fleet:
        report_id = await fleet.peer(CookContract).complain()
        [report] = fleet.reported("Cook")
    assert (report.id, report.severity, report.context) == (report_id, Severity.CRITICAL, {"shelf": 3})


@virtual_time
async def test_an_open_circuit_names_the_peer() -> None:
    """Whoever stops calling a peer says so once, with the peer's name for the correlation."""
    async with fleet_of(Cook) as fleet:
        await fleet.peer(CookContract).hang_up()
        [report] = fleet.reported("Cook")
    assert (report.type, report.severity, report.context) == (
        "PeerUnreachable",
        Severity.WARNING,
        {"peer": "Waiter"},
    )
