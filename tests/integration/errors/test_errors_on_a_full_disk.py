"""The disk under spools, NATS and the incident store has not a byte left, and then has again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tandem.core.errors import TandemError, Unavailable
from tandem.core.ids import AgentId
from tandem.core.tasks import end
from tandem.errors import ErrorClient, ErrorReport
from tandem.errors.desk import IncidentDesk
from tandem.errors.feed import ErrorFeed
from tandem.events import Connection, Publisher, keep_streams
from tandem.infra.probe import DiskFull, check
from tandem.infra.spec import NatsProbe

pytestmark = [pytest.mark.integration, pytest.mark.timeout(240)]

REPORTS = 400


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A file system of its own with 64 MiB; everything of these tests lies on it, the server's store too."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small file system takes root")
    place = tmp_path_factory.mktemp("disk")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "errors", place], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"this place does not allow mounting: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", "--lazy", place], check=True)


@contextlib.contextmanager
def full(place: Path) -> Iterator[None]:
    """Not a byte is left on the file system of ``place``."""
    ballast = place / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for size in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while file.write(b"\0" * size) == size:
                    pass
    try:
        yield
    finally:
        ballast.unlink()


async def fault(server) -> Unavailable | None:
    """What the node's probe finds when the server stores nothing any more."""
    try:
        await check(NatsProbe(server.monitor, str(server.directory)), 60)
    except Unavailable as error:
        return error if "no space left" in error.message else None
    return None


async def test_what_was_accepted_is_counted_and_what_was_not_is_told(nats_server, tmp_path, eventually) -> None:
    """While the disk is full the caller is told so, nothing fails, and the server's probe says why it must be restarted;
    afterwards the incidents' counts are exactly the accepted reports, and the refused ones are an incident with their number."""
    async with contextlib.AsyncExitStack() as stack:
        connections = {name: Connection(nats_server.access, name) for name in ("node", "Agent", "Hub")}
        for connection in connections.values():
            connection.start()
            stack.push_async_callback(connection.close)
        stack.push_async_callback(end, asyncio.create_task(keep_streams(connections["node"], "mainpc", ())))
        desk = IncidentDesk(tmp_path / "incidents.db", {})
        await desk.open()
        stack.push_async_callback(desk.close)
        feed = ErrorFeed(connections["Hub"], Publisher(connections["Hub"]), AgentId.of("Hub", "mainpc"))
        stack.push_async_callback(feed.close)
        failures = 0

        async def take(reports: list[ErrorReport]) -> None:
            nonlocal failures
            try:
                await desk.take(reports)
            except TandemError:
                failures += 1
                raise

        await feed.follow(take)
        publisher = Publisher(connections["Agent"])
        client = ErrorClient(AgentId.of("Agent", "mainpc"), tmp_path / "spool", lambda: publisher)
        client.start()
        stack.push_async_callback(client.close)

        async def report(what: str) -> int:
            """Reports accepted of :data:`REPORTS`; their text is long, so that small leftovers are used up soon."""
            accepted = 0
            for n in range(REPORTS):
                accepted += client.report(what, f"{what} {n}: {'x' * 1500}").accepted
                if n % 20 == 0:
                    await asyncio.sleep(0.01)
            return accepted

        async def counts() -> dict[str, int]:
            found = await desk.incidents(all_states=True, limit=1000)
            return {type_: i.count for i in found for type_ in (i.title.partition(" ")[0],)}

        accepted = {"Before": await report("Before")}
        assert accepted["Before"] == REPORTS
        with full(tmp_path):
            accepted["During"] = await report("During")
            refused = REPORTS - accepted["During"]
            assert refused > 0, "the disk was not full"

            async def found() -> bool:
                return isinstance(await fault(nats_server), DiskFull)

            await eventually(found)
        # There is room, and by itself the stream would stay shut for ever: a node restarts it now, and not before.
        left_behind = await fault(nats_server)
        assert left_behind is not None and not isinstance(left_behind, DiskFull)
        nats_server.kill()
        await nats_server.start()
        await check(NatsProbe(nats_server.monitor, str(nats_server.directory)), 60)
        accepted["After"] = await report("After")

        async def complete() -> bool:
            with contextlib.suppress(TandemError):
                found = await counts()
                told = found.get("ErrorReportsDropped", 0)
                wanted = {what: count for what, count in accepted.items() if count}
                return told >= refused and all(found.get(what) == count for what, count in wanted.items())
            return False

        await eventually(complete)
        assert (await counts())["ErrorReportsDropped"] == REPORTS * 3 - sum(accepted.values())
