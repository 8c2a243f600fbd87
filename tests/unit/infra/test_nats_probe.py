"""What the probe makes of nats-server's answers about itself."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest

from tandem.core.errors import Unavailable
from tandem.infra.probe import DiskFull, check
from tandem.infra.spec import NatsProbe

VARZ = '{"server_name": "m", "start": "", "config_load_time": "", "jetstream": {"config": {"store_dir": "/store/js"}}}'
WRITE_ERROR = """{"status": "unavailable", "error": "JetStream stream '$G > E' write error: no space left on device"}"""
NOT_ENABLED = '{"status": "unavailable", "error": "JetStream not enabled (10076)"}'
RECOVERING = """{"status": "unavailable", "error": "JetStream consumer 'c' could not be found"}"""


@asynccontextmanager
async def answering(whole: tuple[int, str], narrow: tuple[int, str] = (200, '{"status": "ok"}')) -> AsyncIterator[NatsProbe]:
    """A monitoring port whose whole and narrow checks answer so."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        status, body = {"/healthz": whole, "/healthz?js-server-only=true": narrow, "/varz": (200, VARZ)}[path]
        writer.write(f"HTTP/1.0 {status} X\r\n\r\n{body}".encode())
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield NatsProbe(server.sockets[0].getsockname()[1], "/store")


@pytest.mark.parametrize("body", [WRITE_ERROR, NOT_ENABLED])
async def test_a_server_that_stores_nothing_does_not_serve(body: str) -> None:
    """After a full disk streams stay shut although the server says it runs: it must be restarted, and the reason is told."""
    async with answering((503, body)) as probe:
        with pytest.raises(Unavailable, match="stores nothing"):
            await check(probe, 60)


@pytest.mark.parametrize(("free", "words"), [(0, "the disk is full"), (1 << 30, "it stores nothing")])
async def test_a_disk_without_room_is_told_from_what_it_left_behind(
    free: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A restart helps only once there is room, so the two are different errors."""
    monkeypatch.setattr(shutil, "disk_usage", lambda _folder: SimpleNamespace(free=free))
    async with answering((503, WRITE_ERROR)) as probe:
        with pytest.raises(Unavailable, match=words) as refused:
            await check(probe, 60)
    assert isinstance(refused.value, DiskFull) is (free == 0)


async def test_what_passes_by_itself_is_no_fault() -> None:
    """A consumer that is still being recovered is no reason to end the server."""
    async with answering((503, RECOVERING)) as probe:
        await check(probe, 60)
    async with answering((503, RECOVERING), (503, "{}")) as probe:
        with pytest.raises(Unavailable):
            await check(probe, 60)
