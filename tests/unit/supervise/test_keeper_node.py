"""A keeper and its node: who gives no sign of life is ended, and whoever follows is told why."""

from __future__ import annotations

import signal
from typing import Any

import msgspec
import pytest

from tandem.core.errors import EX_CONFIG
from tandem.supervise import keeper_node
from tandem.supervise.keeper_node import NODE, ZYGOTE, NodeKeeper
from tandem.supervise.keeper_watch import FIRST_LOOKS, SILENT_LOOKS, Watch
from tandem.supervise.wire import Exec, Fork, KeeperConfig, NodeLoss, SpawnUnit, UnitEnded, UnitExit, UnitSaid


class Process:
    """A unit as far as a node's keeper looks at it."""

    def __init__(self, request: SpawnUnit, pid: int | None):
        self.name, self.instance, self.kind, self.launch = request.name, request.instance, request.kind, request.launch
        self.pid = pid
        self.exit: UnitExit | None = None
        self.beat_at: float | None = None


class House:
    """What a node's keeper deals with, and a clock: processes that die when a test says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, forks: bool = True):
        self.now, self.forks = 1000.0, forks
        self.made: list[Process] = []
        self.signals: list[tuple[str, int]] = []
        self.memory: dict[str, bytes] = {}
        self.log: list[str] = []
        self.closed: list[str] = []
        monkeypatch.setattr(keeper_node.time, "monotonic", lambda: self.now)
        void = Exec(argv=["true"])
        config = KeeperConfig(machine="m1", run_dir="", log_dir="", state_dir="", zygote=void, node=void,
                              node_entry="a:b", node_socket="")  # fmt: skip
        self.keeper = NodeKeeper(self, self, config, lambda _level, text: self.log.append(text))  # type: ignore[arg-type]
        self.keeper.start()
        self.keeper.hear(UnitSaid(name=ZYGOTE, instance=self.made[0].instance, lines=["READY=1"]))

    # what the keeper asks

    def after(self, _seconds: float, callback: Any) -> None:
        callback()

    def spawn(self, request: SpawnUnit) -> None:
        unborn = isinstance(request.launch, Fork) and not self.forks
        self.made.append(Process(request, None if unborn else 100 + len(self.made)))

    def live(self, *kinds: str) -> list[Process]:
        return [p for p in self.made if p.exit is None and p.kind in kinds]

    def find(self, instance: str) -> Process | None:
        return next((p for p in self.made if p.instance == instance), None)

    def signal(self, instance: str, number: int, *, alone: bool = False) -> None:
        found = self.find(instance)
        assert found is not None
        self.signals.append((found.name, number))

    def keep_in_mind(self, name: str, data: bytes) -> None:
        self.memory[name] = data

    def close_doors(self, name: str) -> None:
        self.closed.append(name)

    # what happens

    @property
    def node(self) -> Process:
        return [p for p in self.made if p.name == NODE][-1]

    def look(self, times: int, *, beats: bool = False, every_s: float = 1.0) -> None:
        for _ in range(times):
            self.now += every_s
            if beats:
                self.node.beat_at = self.now
            self.keeper.look()

    def end(self, process: Process, code: int | None = None, number: int | None = None) -> None:
        process.exit = UnitExit(at=self.now, code=code, signal=number)
        self.keeper.hear(
            UnitEnded(name=process.name, instance=process.instance, exit=process.exit, empty=True, tail=[])
        )

    def why(self) -> str:
        return msgspec.msgpack.decode(self.memory[NODE], type=NodeLoss).why


def test_a_node_that_is_heard_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever gives a sign between two looks is never signalled, however long it lives."""
    house = House(monkeypatch)
    house.look(10 * SILENT_LOOKS, beats=True)
    assert house.signals == [] and house.memory == {}


def test_a_silent_node_may_say_where_it_hangs_and_is_killed_if_it_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """ABRT after the silence and not a look earlier, KILL a look later, then another node that is told why."""
    house = House(monkeypatch)
    house.look(1, beats=True)
    house.look(SILENT_LOOKS - 1)
    assert house.signals == []
    house.look(1)
    assert house.signals == [(NODE, signal.SIGABRT)]
    house.look(1)
    assert house.signals[1:] == [(NODE, signal.SIGKILL)]
    first = house.node
    house.end(first, number=signal.SIGKILL)
    assert house.node is not first
    assert f"no sign of life for {SILENT_LOOKS} s" in house.why()
    house.look(SILENT_LOOKS)
    assert len(house.signals) == 2, "the next node was blamed for the silence of the one before"


def test_a_node_that_was_never_heard_has_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """It may import for a while; then it counts as hanging, too."""
    house = House(monkeypatch)
    house.look(FIRST_LOOKS)
    assert house.signals == []
    house.look(1)
    assert house.signals == [(NODE, signal.SIGABRT)]


def test_a_zygote_that_bears_no_node_is_ended_and_the_node_is_executed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that cannot be born as its zygote is frozen is made without one."""
    house = House(monkeypatch, forks=False)
    house.look(FIRST_LOOKS + 1)
    assert house.signals == [(ZYGOTE, signal.SIGKILL)]
    unborn, zygote = house.node, house.made[0]
    house.end(zygote, number=signal.SIGKILL)
    house.end(unborn, number=signal.SIGKILL)
    assert isinstance(house.node.launch, Exec) and house.node.pid is not None


def test_the_next_node_is_told_of_a_death_but_not_of_an_upgrade(monkeypatch: pytest.MonkeyPatch) -> None:
    """What an operator ordered is no loss; a crash is, also the one after an upgrade."""
    house = House(monkeypatch)
    void = Exec(argv=["true"])
    house.keeper.replace(void, void)
    house.end(house.node, code=0)
    assert house.memory == {}
    house.end(house.node, number=signal.SIGSEGV)
    assert house.why() == f"signal {int(signal.SIGSEGV)}"


def test_nobody_is_watched_who_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """A node that ends for good, or whose keeper ends everything, is not signalled for its silence."""
    house = House(monkeypatch)
    house.end(house.node, code=EX_CONFIG)
    house.look(2 * FIRST_LOOKS)
    retired = House(monkeypatch)
    retired.keeper.retire()
    retired.look(2 * FIRST_LOOKS)
    assert house.signals == retired.signals == []


def test_a_node_that_gave_up_refuses_who_asks_until_another_is_ordered(monkeypatch: pytest.MonkeyPatch) -> None:
    """With status 78 its socket is closed, so nobody waits for it, and nothing is tried; an order makes a new one at once."""
    house = House(monkeypatch)
    house.end(house.node, code=EX_CONFIG)
    given_up = house.node
    assert house.closed == [NODE] and given_up.exit is not None
    void = Exec(argv=["true"])
    house.keeper.replace(void, void)
    assert house.node is not given_up and house.node.exit is None and house.memory == {}
    house.end(house.node, number=signal.SIGSEGV)
    assert house.node.exit is None


def test_late_looks_blame_nobody() -> None:
    """Seconds in which the keeper itself did not run are nobody's silence; the silence goes on counting after them."""
    watch = Watch()
    assert not watch.look(0.0, 0.0)
    now = 0.0
    for _ in range(100):
        now += 60.0
        assert not watch.look(now, 0.0)
    looks = 0
    while not watch.look(now := now + 1.0, 0.0):
        looks += 1
    assert looks == SILENT_LOOKS - 1
