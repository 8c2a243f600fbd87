"""The agent SDK in memory: actions, peers, events, timers, health, restarts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Protocol

import pytest
from msgspec import Struct

from tandem.agent import Agent, Event, Issue, action, contract, every, on
from tandem.agent.declare import declarations
from tandem.agent.describe import Description
from tandem.agent.testing import Member, fleet_of, virtual_time
from tandem.core import clock
from tandem.core.errors import (
    ConfigError,
    InvalidArguments,
    NotFound,
    RemoteError,
    UnknownAction,
    Unreachable,
)
from tandem.core.health import HealthReport, Status


class Fact(Struct, frozen=True):
    topic: str
    text: str


class FactLearned(Event, topic="test.fact.learned"):
    fact: Fact


@contract("Library")
class LibraryContract(Protocol):
    async def store(self, fact: Fact) -> int: ...
    async def look_up(self, topic: str, limit: int = 5) -> list[Fact]: ...
    def all(self) -> AsyncIterator[Fact]: ...
    async def fail(self, how: str) -> None: ...
    async def health_check(self) -> HealthReport: ...
    async def describe(self) -> Description: ...


class Library(Agent):
    """Keeps facts by topic."""

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        max_facts: int = 3

    settings: Settings

    async def start(self) -> None:
        self.facts: list[Fact] = []
        self.ticks = 0
        self.file = self.state_dir / "facts"
        if self.file.exists():
            self.facts = [Fact("old", line) for line in self.file.read_text().splitlines()]

    async def stop(self) -> None:
        self.file.write_text("\n".join(fact.text for fact in self.facts))

    async def check(self) -> Iterable[Issue]:
        if len(self.facts) >= self.settings.max_facts:
            yield_issue = Issue("full", fix="forget something", blocking=True)
            return [yield_issue]
        return ()

    @action
    async def store(self, fact: Fact) -> int:
        """Keep a fact."""
        self.facts.append(fact)
        await self.publish(FactLearned(fact=fact))
        return len(self.facts)

    @action(idempotent=True)
    async def look_up(self, topic: str, limit: int = 5) -> list[Fact]:
        return [fact for fact in self.facts if fact.topic == topic][:limit]

    @action
    async def all(self) -> AsyncIterator[Fact]:
        for fact in self.facts:
            yield fact

    @action
    async def fail(self, how: str) -> None:
        if how == "typed":
            raise NotFound("no such fact", hint="store it first")
        raise KeyError(how)

    @every(minutes=1)
    async def tick(self) -> None:
        self.ticks += 1


class Reader(Agent):
    """Follows what the library learns."""

    async def start(self) -> None:
        self.heard: list[str] = []

    @on(FactLearned)
    async def hear(self, event: FactLearned) -> None:
        self.heard.append(event.fact.text)

    @action
    async def count(self, topic: str) -> int:
        return len(await self.peer(LibraryContract).look_up(topic))


@contract("Reader")
class ReaderContract(Protocol):
    async def count(self, topic: str) -> int: ...


TEA = Fact("tea", "hot")


@virtual_time
async def test_a_peer_is_called_with_types() -> None:
    """Arguments and results keep their declared types across a call, defaults included."""
    async with fleet_of(Library, Reader) as fleet:
        library = fleet.peer(LibraryContract)
        assert await library.store(TEA) == 1
        assert await library.look_up("tea") == [TEA]
        assert await fleet.peer(ReaderContract).count("tea") == 1


@virtual_time
async def test_a_stream_is_iterated() -> None:
    """An async generator action arrives item by item."""
    async with fleet_of(Library) as fleet:
        library = fleet.peer(LibraryContract)
        await library.store(TEA)
        await library.store(Fact("bread", "warm"))
        assert [fact.text async for fact in library.all()] == ["hot", "warm"]


@virtual_time
async def test_errors_keep_their_class() -> None:
    """A typed error arrives as itself with its hint; any other exception as RemoteError naming its type."""
    async with fleet_of(Library) as fleet:
        library = fleet.peer(LibraryContract)
        with pytest.raises(NotFound) as typed:
            await library.fail("typed")
        with pytest.raises(RemoteError) as untyped:
            await library.fail("otherwise")
    assert typed.value.hint == "store it first"
    assert untyped.value.details["type"] == "KeyError"


@virtual_time
async def test_wrong_arguments_are_named() -> None:
    """A missing argument and one of the wrong type are refused by name; a wrong action by its name."""
    async with fleet_of(Library) as fleet:
        with pytest.raises(InvalidArguments, match="topic"):
            await fleet.peer(LibraryContract).look_up()  # type: ignore[call-arg]
        with pytest.raises(InvalidArguments, match="limit"):
            await fleet.peer("Library").look_up(topic="tea", limit="many")
        with pytest.raises(UnknownAction, match="sing"):
            await fleet.peer("Library").sing()
        with pytest.raises(AttributeError, match="sing"):
            fleet.peer(LibraryContract).sing  # type: ignore[attr-defined]  # noqa: B018


@virtual_time
async def test_a_peer_by_name_needs_no_contract() -> None:
    """An untyped peer takes keyword arguments and gives plain values."""
    async with fleet_of(Library) as fleet:
        await fleet.peer(LibraryContract).store(TEA)
        assert await fleet.peer("Library").look_up(topic="tea") == [{"topic": "tea", "text": "hot"}]


@virtual_time
async def test_events_reach_every_subscriber() -> None:
    """A published event reaches the agents that follow its type, also one announced from outside."""
    async with fleet_of(Reader, Library) as fleet:
        await fleet.peer(LibraryContract).store(TEA)
        await fleet.announce(FactLearned(fact=Fact("rain", "wet")))
        await asyncio.sleep(0.1)
        assert fleet.agent(Reader).heard == ["hot", "wet"]
        assert [event.fact for event in fleet.published(FactLearned)] == [TEA, Fact("rain", "wet")]


@virtual_time
async def test_timers_follow_the_clock() -> None:
    """A one-minute timer has run five times after five minutes."""
    async with fleet_of(Library) as fleet:
        await asyncio.sleep(301)
        assert fleet.agent(Library).ticks == 5
        assert clock.monotonic() == pytest.approx(301, abs=1)


@virtual_time
async def test_health_is_the_agents_own_judgement() -> None:
    """A blocking issue makes the agent unhealthy and carries its fix; without issues it is healthy."""
    async with fleet_of(Member(Library, max_facts=1)) as fleet:
        library = fleet.peer(LibraryContract)
        before = await library.health_check()
        await library.store(TEA)
        after = await library.health_check()

    assert (before.status, before.issues) == (Status.HEALTHY, [])
    assert (after.status, after.issues) == (Status.UNHEALTHY, [Issue("full", fix="forget something", blocking=True)])
    assert (after.service, after.machine) == ("Library", "mainpc")


@virtual_time
async def test_health_while_starting_asks_the_agent_nothing() -> None:
    """Until start() is done the answer is ``starting``, and neither check nor capabilities of the agent are used."""

    class Slow(Agent):
        async def start(self) -> None:
            await asyncio.sleep(10)
            self.ready = ["ready"]

        async def check(self) -> Iterable[Issue]:
            return [Issue(word) for word in self.ready]

        @property
        def capabilities(self) -> list[str]:
            return self.ready

    fleet = fleet_of(Slow)
    starting = asyncio.create_task(fleet.__aenter__())
    await asyncio.sleep(1)
    during = await fleet.peer("Slow").health_check()
    await starting
    after = await fleet.peer("Slow").health_check()
    await fleet.close()

    assert (during["status"], during["capabilities"]) == ("starting", [])
    assert (after["status"], after["capabilities"]) == ("degraded", ["ready"])


@virtual_time
async def test_description_lists_actions_with_schemas() -> None:
    """``describe`` names every action with the schema of its arguments, the purpose, topics and timers."""
    async with fleet_of(Library, Reader) as fleet:
        library = await fleet.peer(LibraryContract).describe()
        reader: Description = await fleet.peer("Reader").describe()

    actions = {found.name: found for found in library.actions}
    assert library.purpose == "Keeps facts by topic."
    assert set(actions) == {"store", "look_up", "all", "fail"}
    assert actions["store"].summary == "Keep a fact."
    assert (actions["all"].stream, actions["look_up"].idempotent) == (True, True)
    assert "limit" in str(actions["look_up"].arguments)
    assert library.timers == {"tick": 60.0}
    assert reader["events"] == ["test.fact.learned"]  # type: ignore[index]


@virtual_time
async def test_restart_finds_its_state_and_kill_skips_the_clean_up() -> None:
    """A stopped agent writes its state and finds it again; a killed one never gets to write."""
    async with fleet_of(Library) as fleet:
        library = fleet.peer(LibraryContract)
        await library.store(TEA)
        await fleet.stop("Library")
        with pytest.raises(Unreachable):
            await library.look_up("old")
        await fleet.start("Library")
        assert [fact.text for fact in await library.look_up("old")] == ["hot"]
        await library.store(Fact("x", "lost"))
        await fleet.kill("Library")
        await fleet.start("Library")
        assert [fact.text for fact in await library.look_up("old")] == ["hot"]


@virtual_time
async def test_state_can_outlive_the_fleet(tmp_path: Path) -> None:
    """With ``state=`` a second fleet finds what the first one left."""
    for expected in (0, 1):
        async with fleet_of(Library, state=tmp_path) as fleet:
            library = fleet.peer(LibraryContract)
            assert len(await library.look_up("old")) == expected
            await library.store(TEA)


@virtual_time
async def test_unknown_setting_is_a_configuration_error() -> None:
    """A setting the agent does not have is refused before it starts, by name."""
    with pytest.raises(ConfigError, match="max_fatcs"):
        async with fleet_of(Member(Library, max_fatcs=1)):
            pass


def test_an_action_cannot_take_a_lifecycle_method() -> None:
    """An action called ``stop`` would replace the platform's; the error says how to name it instead."""

    class Player(Agent):
        @action
        async def stop(self) -> None: ...

    with pytest.raises(ConfigError, match=r'@action\(name="stop"\)'):
        declarations(Player)


@virtual_time
async def test_an_action_may_have_another_name_than_its_method() -> None:
    """Callers use the action's name; the method's own name is no action."""

    class Player(Agent):
        @action(name="stop")
        async def fall_silent(self) -> str:
            return "silent"

    async with fleet_of(Player) as fleet:
        assert await fleet.peer("Player").stop() == "silent"
        with pytest.raises(UnknownAction):
            await fleet.peer("Player").fall_silent()
