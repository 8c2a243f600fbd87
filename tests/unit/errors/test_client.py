"""The client takes reports at once and ships them once, in order, whatever happens to the bus."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import msgspec
import pytest

from tandem.core.errors import Unavailable, Unreachable
from tandem.core.ids import AgentId
from tandem.errors import ErrorClient, ErrorReport, Severity
from tandem.errors import client as module

ORIGIN = AgentId("Librarian@mainpc")


class Bus:
    """Stores what is published; ``down`` refuses, ``forgetful`` stores and then fails to say so."""

    def __init__(self) -> None:
        self.down = False
        self.forgetful = 0
        self.subjects: list[str] = []
        self.reports: list[ErrorReport] = []
        self._ids: set[str] = set()
        self.duplicates = 0
        self.contexts: list[object] = []

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str], *, timeout: float | None = None
    ) -> None:
        await asyncio.sleep(0)
        if self.down:
            raise Unreachable("no NATS")
        if headers["Nats-Msg-Id"] in self._ids:
            self.duplicates += 1
            return
        self._ids.add(headers["Nats-Msg-Id"])
        self.subjects.append(subject)
        self.reports += msgspec.json.decode(payload, type=list[ErrorReport])
        if self.forgetful:
            self.forgetful -= 1
            raise Unreachable("the answer was lost")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "GATHER_S", 0.0)
    monkeypatch.setattr(module, "RETRY_FIRST_S", 0.01)


async def until(condition) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)


def client_of(root: Path, bus: Bus | None, **options) -> ErrorClient:
    client = ErrorClient(ORIGIN, root, None if bus is None else lambda: bus, **options)
    client.start()
    return client


async def test_reports_arrive_in_order_on_subjects_of_their_severity(tmp_path: Path) -> None:
    """Each report travels on errors.<machine>.<agent>.<severity>, and their order is that of the calls."""
    bus = Bus()
    client = client_of(tmp_path / "e", bus)
    for n in range(1000):
        assert client.report("T", str(n), "critical" if n % 10 == 0 else "error").accepted
    await until(lambda: len(bus.reports) == 1000)
    assert [int(report.message) for report in bus.reports] == list(range(1000))
    assert set(bus.subjects) == {"errors.mainpc.Librarian.critical", "errors.mainpc.Librarian.error"}
    await client.close()


async def test_nothing_is_opened_before_the_first_report(tmp_path: Path) -> None:
    """An agent without errors has neither a spool nor a connection."""
    client = ErrorClient(ORIGIN, tmp_path / "e", lambda: pytest.fail("asked for a connection"))
    client.start()
    await asyncio.sleep(0.01)
    await client.close()
    assert not (tmp_path / "e").exists()


async def test_what_waits_while_the_bus_is_away_arrives_when_it_is_back(tmp_path: Path) -> None:
    """An outage delays reports and loses none; it shows in the log, not in the caller."""
    bus = Bus()
    bus.down = True
    client = client_of(tmp_path / "e", bus)
    for n in range(300):
        client.report("T", str(n))
    await asyncio.sleep(0.05)
    assert bus.reports == []
    bus.down = False
    await until(lambda: len(bus.reports) == 300)
    assert len({report.id for report in bus.reports}) == 300
    await client.close()


async def test_the_next_instance_ships_what_the_last_one_could_not(tmp_path: Path) -> None:
    """Reports taken before a death are shipped by whoever comes next, before its own."""
    dead = ErrorClient(ORIGIN, tmp_path / "e", None)
    for n in range(10):
        dead.report("T", str(n))
    await dead.close()
    bus = Bus()
    client = client_of(tmp_path / "e", bus)
    client.report("T", "10")
    await until(lambda: len(bus.reports) == 11)
    assert [int(report.message) for report in bus.reports] == list(range(11))
    await client.close()


async def test_a_batch_whose_answer_was_lost_counts_once(tmp_path: Path) -> None:
    """It is published again under the same id, which the stream recognises."""
    bus = Bus()
    bus.forgetful = 2
    client = client_of(tmp_path / "e", bus)
    for n in range(20):
        client.report("T", str(n))
    await until(lambda: bus.duplicates == 1 and len(bus.reports) == 20)
    client.report("T", "20")
    await until(lambda: len({report.id for report in bus.reports}) == 21 and not client._own.waiting)
    assert len(bus.reports) == 21
    await client.close()


async def test_two_instances_report_side_by_side(tmp_path: Path) -> None:
    """During an upgrade both instances have spools of their own, and the survivor ships what the other left."""
    bus = Bus()
    old = ErrorClient(ORIGIN, tmp_path / "e", None)
    old.report("T", "old")
    new = client_of(tmp_path / "e", bus)
    new.report("T", "new")
    await until(lambda: len(bus.reports) == 1)
    await old.close()
    new.report("T", "newer")
    await until(lambda: len(bus.reports) == 3)
    assert {report.message for report in bus.reports} == {"old", "new", "newer"}
    await new.close()


async def test_dropped_reports_are_reported(tmp_path: Path) -> None:
    """When the spool ran over, one report tells how many of which severity are missing, and the sum is right."""
    bus = Bus()
    bus.down = True
    client = client_of(tmp_path / "e", bus, limit=40_000)
    for n in range(1000):
        client.report("T", str(n), "warning")
    [issue] = client.issues()
    assert "full" in issue.message
    bus.down = False
    await until(lambda: any(report.type == "ErrorReportsDropped" for report in bus.reports))
    [notice] = [report for report in bus.reports if report.type == "ErrorReportsDropped"]
    assert notice.severity is Severity.ERROR
    assert notice.context == {"warning": notice.count}
    assert len(bus.reports) - 1 + notice.count == 1000
    await client.close()


async def test_threads_report_too(tmp_path: Path) -> None:
    """A model's worker thread may report; nothing is lost between threads."""
    bus = Bus()
    client = client_of(tmp_path / "e", bus)

    def work(name: int) -> None:
        for n in range(200):
            client.report("T", f"{name}:{n}")

    threads = [threading.Thread(target=work, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    await until(lambda: len(bus.reports) == 800)
    for name in range(4):
        own = [report.message for report in bus.reports if report.message.startswith(f"{name}:")]
        assert own == [f"{name}:{n}" for n in range(200)]
    await client.close()


async def test_durable_means_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receipt of a durable report is there after fsync; a disk that refuses raises instead of promising."""
    synced: list[int] = []
    monkeypatch.setattr(module.Spool, "sync", lambda self, severity: synced.append(1))
    client = client_of(tmp_path / "e", None)
    assert synced == []
    receipt = client.report("T", "m", durable=True)
    assert synced == []
    assert (await receipt).accepted
    assert synced == [1]
    await asyncio.to_thread(client.report, "T", "m", durable=True)
    assert synced == [1, 1]

    def refuse(self: object, severity: Severity) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr(module.Spool, "sync", refuse)
    with pytest.raises(Unavailable, match="no space left"):
        await client.report("T", "m", durable=True)
    await client.close()


async def test_an_unusable_directory_costs_reports_but_never_the_agent(tmp_path: Path) -> None:
    """Without a place to write, the call says that nothing was accepted, and health names the place."""
    (tmp_path / "e").write_text("a file where a directory should be")
    client = ErrorClient(ORIGIN, tmp_path / "e", None)
    assert not client.report("T", "m").accepted
    assert not client.report("T", "m").accepted
    [issue] = client.issues()
    assert "2 error reports were lost" in issue.message
    await client.close()
