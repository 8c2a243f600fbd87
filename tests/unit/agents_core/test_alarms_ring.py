"""Timers, alarms and reminders across the two machines: each rings once, by id, whatever is down."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest

from tandem.agent.testing import Fleet, virtual_time
from tandem.core import clock
from tandem_agents.core_services.contracts import AlarmRang, Announcement, FrontDoor, Ringing
from tandem_agents.core_services.request_coordinator import RequestCoordinator
from tandem_agents.infrastructure.contracts import Alarm, Scheduling


async def said(fleet: Fleet, text: str) -> str:
    return (await fleet.peer(FrontDoor).ask(text)).answer


def rings(fleet: Fleet) -> list[str]:
    return [event.text for event in fleet.published(AlarmRang)]


@virtual_time
async def test_a_timer_rings_once_at_its_time(home: SimpleNamespace) -> None:
    """With both machines up a five-minute timer rings after five minutes, once, and both books know it."""
    async with home.household() as fleet:
        assert await said(fleet, "set a timer for five minutes") == "Timer set for 5 minutes."
        set_at = clock.wall()
        await asyncio.sleep(299)
        assert rings(fleet) == []
        await asyncio.sleep(3)
        assert rings(fleet) == ["Your timer for 5 minutes is up."]
        await asyncio.sleep(600)
        assert len(rings(fleet)) == 1
        [known] = await fleet.peer(Scheduling).merge_alarms([])
        assert known.state == "rung"
        assert known.settled - set_at == pytest.approx(300, abs=2.5)


@virtual_time
async def test_a_listener_hears_it(home: SimpleNamespace) -> None:
    """Who listens to announcements gets the words, the session and an id that stays the same."""
    async with home.household() as fleet:

        async def first() -> Announcement:
            async for announcement in fleet.peer(FrontDoor).announcements():
                return announcement
            raise AssertionError("nothing was announced")

        listening = asyncio.ensure_future(first())
        await asyncio.sleep(1)
        await fleet.peer(FrontDoor).ask("remind me to call Mom in 10 minutes", session="kitchen")
        heard = await listening
        assert (heard.text, heard.session) == ("Reminder: call Mom.", "kitchen")


@virtual_time
async def test_it_rings_on_mainpc_when_pc2_is_away(home: SimpleNamespace) -> None:
    """PC2 goes down after the timer was set; it rings in time all the same, and not again when PC2 is back."""
    async with home.household() as fleet:
        await said(fleet, "set a pasta timer for 10 minutes")
        await asyncio.sleep(5)
        await fleet.kill("TaskScheduler")
        await asyncio.sleep(600)
        assert rings(fleet) == ["Your pasta timer is up."]
        await fleet.start("TaskScheduler")
        await asyncio.sleep(300)
        assert len(rings(fleet)) == 1
        assert [alarm.state for alarm in await fleet.peer(Scheduling).merge_alarms([])] == ["rung"]


@virtual_time
async def test_a_timer_set_while_pc2_is_away_reaches_it_later(home: SimpleNamespace) -> None:
    """MainPC alone accepts timers, shows that it is alone, and hands them over when PC2 is back."""
    async with home.household() as fleet:
        await fleet.stop("TaskScheduler")
        await said(fleet, "set a timer for 1 hour")
        await asyncio.sleep(70)
        assert "mainpc only" in str(next(iter(await fleet.agent(RequestCoordinator).check())))
        await fleet.start("TaskScheduler")
        await asyncio.sleep(70)
        assert [alarm.state for alarm in await fleet.peer(Scheduling).merge_alarms([])] == ["pending"]
        assert not list(await fleet.agent(RequestCoordinator).check())


@virtual_time
async def test_pc2_brings_back_what_mainpc_lost(home: SimpleNamespace, tmp_path: Path) -> None:
    """If MainPC's book is lost, PC2's copy fills it again and the alarm rings."""
    async with home.household(tmp_path) as fleet:
        await said(fleet, "set a timer for 10 minutes")
        await asyncio.sleep(5)
        await fleet.stop("RequestCoordinator")
        for file in (tmp_path / "mainpc" / "RequestCoordinator").glob("alarms.db*"):
            file.unlink()
        await fleet.start("RequestCoordinator")
        await asyncio.sleep(1)
        assert len(await fleet.peer(FrontDoor).list_alarms()) == 1
        await asyncio.sleep(600)
        assert len(rings(fleet)) == 1


@virtual_time
async def test_everything_killed_and_started_later_rings_late_and_says_so(
    home: SimpleNamespace, tmp_path: Path
) -> None:
    """A timer that ran out while nothing ran rings at the next start, once, with how late it is."""
    async with home.household(tmp_path) as fleet:
        await said(fleet, "set a timer for 1 minute")
        await asyncio.sleep(2)
        for name in ("RequestCoordinator", "TaskScheduler"):
            await fleet.kill(name)
        await asyncio.sleep(600)
        for name in ("TaskScheduler", "RequestCoordinator"):
            await fleet.start(name)
        await asyncio.sleep(30)
        [words] = rings(fleet)
        assert words.startswith("Your timer for 1 minute is up. It was due 9 minutes")


@virtual_time
async def test_a_ring_broken_off_by_a_crash_is_rung_again(home: SimpleNamespace) -> None:
    """An alarm that was about to sound when the process died sounds after the restart, under the same id."""
    async with home.household() as fleet:
        await said(fleet, "set a timer for 1 hour")
        [alarm] = await fleet.peer(FrontDoor).list_alarms()
        desk = fleet.agent(RequestCoordinator)._desk
        await desk._worker(desk._book.advance, alarm.id, "ringing", clock.wall())
        await fleet.kill("RequestCoordinator")
        await fleet.start("RequestCoordinator")
        await asyncio.sleep(1)
        assert [event.alarm.id for event in fleet.published(AlarmRang)] == [alarm.id]


@virtual_time
async def test_offering_twice_rings_once(home: SimpleNamespace) -> None:
    """PC2 may repeat its call after a lost answer; what is not due yet does not ring early."""
    async with home.household() as fleet:
        now = clock.wall()
        due = Alarm(id="due", kind="alarm", due=now, created=now, label="work")
        later = Alarm(id="later", kind="timer", due=now + 60, created=now)
        for _ in range(2):
            states = [alarm.state for alarm in await fleet.peer(Ringing).ring([due, later])]
            assert states == ["rung", "pending"]
        await asyncio.sleep(1)
        assert len(rings(fleet)) == 1


@virtual_time
async def test_cancelled_alarms_stay_silent(home: SimpleNamespace) -> None:
    """A cancelled timer rings on neither machine, even if PC2 was away when it was cancelled."""
    async with home.household() as fleet:
        await said(fleet, "set a timer for 10 minutes")
        await said(fleet, "set a tea timer for 3 minutes")
        await asyncio.sleep(5)
        await fleet.stop("TaskScheduler")
        assert (await said(fleet, "cancel the tea timer")).startswith("Cancelled the tea timer")
        await fleet.start("TaskScheduler")
        await asyncio.sleep(1200)
        assert rings(fleet) == ["Your timer for 10 minutes is up."]


@virtual_time
async def test_cancelling_asks_when_several_fit(home: SimpleNamespace) -> None:
    """Two timers and "cancel the timer" need a word more; by length, label, time or all it needs none."""
    async with home.household() as fleet:
        for text in (
            "set a timer for 5 minutes",
            "set a pasta timer for 10 minutes",
            "set a timer for 20 minutes",
            "set an alarm for 7 am",
        ):
            await said(fleet, text)
        assert "Which one" in await said(fleet, "cancel the timer")
        assert (await said(fleet, "cancel the 5 minute timer")).startswith("Cancelled a timer")
        assert "7:00 AM" in await said(fleet, "cancel the 7 o'clock alarm")
        assert "no alarm" in await said(fleet, "cancel my alarm")
        assert "no timer called soup" in await said(fleet, "cancel the soup timer")
        assert "Cancelled 2" in await said(fleet, "cancel all timers")
        assert await fleet.peer(FrontDoor).list_alarms() == []


@virtual_time
async def test_times_that_cannot_be_are_refused(home: SimpleNamespace) -> None:
    """A time that has passed is not set, and neither is the five hundred and first timer."""
    async with home.household() as fleet:
        assert "already passed" in await said(fleet, "remind me yesterday to call")
        assert "ten years" in await said(fleet, "remind me on march 5 2199 to call")
        now = clock.wall()
        await fleet.peer(Ringing).ring(
            [Alarm(id=f"a{n}", kind="timer", due=now + 9999, created=now) for n in range(500)]
        )
        assert "500" in await said(fleet, "set a timer for 5 minutes")


@virtual_time
async def test_each_kind_has_its_words(home: SimpleNamespace) -> None:
    """Lists and rings name what they are about."""
    async with home.household() as fleet:
        await said(fleet, "set an alarm for work in 2 minutes")
        await said(fleet, "wake me in 4 minutes")
        await said(fleet, "paalalahanan mo ako na uminom ng gamot makalipas ang limang minuto")
        assert "2: the work alarm" in await said(fleet, "list my alarms")
        assert "no timer" in await said(fleet, "list my timers")
        await asyncio.sleep(600)
        texts = rings(fleet)
        assert texts[0].startswith("Here is your alarm for work: it is")
        assert texts[1].startswith("Here is your alarm: it is")
        assert texts[2] == "Paalala: uminom ng gamot."


@virtual_time
async def test_starting_together_is_no_trouble(home: SimpleNamespace) -> None:
    """A coordinator that starts before pc2's scheduler is healthy all the while and has it within a second; one whose
    scheduler stays away is degraded after three, and healthy again soon after it is back."""
    async with home.household() as fleet:
        coordinator = fleet.agent(RequestCoordinator)
        await fleet.stop("TaskScheduler")
        await fleet.stop("RequestCoordinator")
        await fleet.start("RequestCoordinator")
        coordinator = fleet.agent(RequestCoordinator)
        for _ in range(20):
            assert not list(await coordinator.check())
            await asyncio.sleep(0.1)
        await asyncio.sleep(5)
        [issue] = await coordinator.check()
        assert "pc2" in issue.fix or "mainpc only" in issue.message
        await fleet.start("TaskScheduler")
        await asyncio.sleep(61)
        assert not list(await coordinator.check())
        await fleet.stop("TaskScheduler")
        await fleet.stop("RequestCoordinator")
        await fleet.start("RequestCoordinator")
        coordinator = fleet.agent(RequestCoordinator)
        await asyncio.sleep(0.5)
        await fleet.start("TaskScheduler")
        await asyncio.sleep(1)
        assert coordinator._desk.away is None
