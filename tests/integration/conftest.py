"""Real servers on loopback without TLS: nats-servers, alone or as hub and leaf with a cable that can be cut, and Valkey.

Tests of the configurations Tandem renders for them have fixtures of their own in ``infra``.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
import sys
import sysconfig
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import IO

import pytest

from tandem.core.access import NatsAccess, ValkeyAccess
from tandem.infra.valkey import valkey_binary

sys.path.insert(0, str(Path(__file__).parent))  # what several folders share

from ports import free_port

NATS_SERVER = Path(sysconfig.get_path("scripts")) / "nats-server"


async def eventually(
    check: Callable[[], Awaitable[bool]] | Callable[[], bool], within_s: float = 120.0
) -> None:
    """Wait until ``check`` holds; fail when it does not within a generous bound."""
    limit = time.monotonic() + within_s
    while True:
        result = check()
        if await result if isinstance(result, Awaitable) else result:
            return
        if time.monotonic() > limit:
            raise AssertionError(f"not so within {within_s} s")
        await asyncio.sleep(0.02)


def _spawn(command: list[str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)


class Server:
    """One nats-server process with its own store."""

    def __init__(self, directory: Path, machine: str, extra: str = "") -> None:
        self.machine = machine
        self.port = free_port()
        self.monitor = free_port()
        self.process: subprocess.Popen[bytes] | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.config = directory / "nats.conf"
        self.config.write_text(
            f'server_name: {machine}\nlisten: "127.0.0.1:{self.port}"\nhttp: "127.0.0.1:{self.monitor}"\n'
            f'jetstream {{ store_dir: "{directory}/js", domain: {machine}, max_mem: 256M, max_file: 4G,'
            f" sync_interval: always }}\n{extra}\n"
        )

    @property
    def access(self) -> NatsAccess:
        return NatsAccess(f"nats://127.0.0.1:{self.port}", b"", "", "", "", self.machine, self.machine)

    async def start(self) -> None:
        with (self.directory / "log").open("ab") as log:
            self.process = _spawn([str(NATS_SERVER), "-c", str(self.config)], log)
        await eventually(self._healthy)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def leaves(self) -> int:
        """How many leaf connections there are."""
        return (await self._get("leafz")).count(b'"rtt"')

    async def _healthy(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, (self.directory / "log").read_text()
        return b"ok" in await self._get("healthz")

    async def _get(self, page: str) -> bytes:
        def get() -> bytes:
            with (
                contextlib.suppress(OSError),
                urllib.request.urlopen(f"http://127.0.0.1:{self.monitor}/{page}", timeout=2) as reply,
            ):
                return bytes(reply.read())
            return b""

        return await asyncio.to_thread(get)


class Cable:
    """A TCP proxy: cutting it closes every connection and refuses new ones until it is healed."""

    def __init__(self, target: int) -> None:
        self.port = free_port()
        self._target = target
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()

    async def heal(self) -> None:
        self._server = await asyncio.start_server(self._join, "127.0.0.1", self.port)

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._writers):
            writer.transport.abort()

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:
            writer.transport.abort()
            return
        if self._server is None:  # cut meanwhile
            writer.transport.abort()
            far_writer.transport.abort()
            return
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        finally:
            self._writers -= pair

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                writer.write(data)
                await writer.drain()
        writer.close()


class Pair:
    """MainPC's server as hub, PC2's as its leaf, the cable between them."""

    def __init__(self, directory: Path) -> None:
        leaf_port = free_port()
        self.cable = Cable(leaf_port)
        self.mainpc = Server(
            directory / "mainpc",
            "mainpc",
            f'leafnodes {{ listen: "127.0.0.1:{leaf_port}", no_advertise: true }}',
        )
        self.pc2 = Server(
            directory / "pc2",
            "pc2",
            f'leafnodes {{ reconnect: "1s", remotes [ {{ url: "nats://127.0.0.1:{self.cable.port}" }} ] }}',
        )

    async def start(self) -> None:
        await self.cable.heal()
        await self.mainpc.start()
        await self.pc2.start()
        await self.linked()

    async def linked(self) -> None:
        await eventually(self._has_leaf)

    async def unlinked(self) -> None:
        await eventually(self._has_no_leaf)

    async def _has_leaf(self) -> bool:
        return await self.mainpc.leaves() == 1

    async def _has_no_leaf(self) -> bool:
        return await self.mainpc.leaves() == 0


class Valkey:
    """One valkey-server on a unix socket; ``agent`` may do to leases what an agent may, ``node`` everything."""

    def __init__(self, directory: Path) -> None:
        self.socket = str(directory / "v.sock")
        self.process: subprocess.Popen[bytes] | None = None
        self._directory = directory
        (directory / "acl").write_text(
            "user default off\nuser node on >secret allkeys allchannels allcommands\n"
            "user agent on >secret resetchannels ~agent:ready:Agent %R~agent:ready:* "
            "+@read +@write +@connection +@transaction +@scripting -@dangerous\n"
        )

    def access(self, user: str = "node") -> ValkeyAccess:
        return ValkeyAccess(self.socket, user, "secret")

    async def start(self) -> None:
        command = [valkey_binary(), "--port", "0", "--unixsocket", self.socket, "--dir", str(self._directory)]
        command += ["--aclfile", str(self._directory / "acl"), "--appendonly", "yes", "--save", ""]
        with (self._directory / "log").open("ab") as log:
            self.process = _spawn(command, log)
        await eventually(self._answers)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    async def _answers(self) -> bool:
        """Whether it serves: one that still reads its file takes connections and refuses commands."""
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_unix_connection(self.socket)
                with contextlib.closing(writer):
                    writer.write(b"AUTH node secret\r\nPING\r\n")
                    await reader.readline()
                    return await reader.readline() == b"+PONG\r\n"
        except (OSError, TimeoutError):
            return False


def _end(server: Server) -> None:
    if server.process is not None and server.process.poll() is None:
        server.kill()
    shutil.rmtree(server.directory, ignore_errors=True)


@pytest.fixture
async def nats_server(tmp_path: Path) -> AsyncIterator[Server]:
    """One running nats-server of machine ``mainpc``."""
    server = Server(tmp_path / "mainpc", "mainpc")
    await server.start()
    yield server
    _end(server)


@pytest.fixture
async def nats_pair(tmp_path: Path) -> AsyncIterator[Pair]:
    """Two linked machines."""
    pair = Pair(tmp_path)
    await pair.start()
    yield pair
    await pair.cable.cut()
    _end(pair.mainpc)
    _end(pair.pc2)


@pytest.fixture
async def make_valkey(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[Callable[[], Awaitable[Valkey]]]:
    """Starts Valkey servers, each empty and on a socket of its own."""
    made: list[Valkey] = []

    async def make() -> Valkey:
        made.append(Valkey(tmp_path_factory.mktemp("v")))
        await made[-1].start()
        return made[-1]

    yield make
    for valkey in made:
        valkey.kill()


@pytest.fixture
async def valkey(make_valkey: Callable[[], Awaitable[Valkey]]) -> Valkey:
    """One running Valkey."""
    return await make_valkey()


@pytest.fixture(name="eventually")
def _eventually() -> Callable[..., Awaitable[None]]:
    """Wait on a condition."""
    return eventually
