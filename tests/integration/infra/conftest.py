"""Real servers on loopback, each fleet in a home and on ports of its own."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import os
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from pathlib import Path

import nats
import pytest
import redis.asyncio as redis
from nats.aio.client import Client
from ports import free_port
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from tandem.core.access import ValkeyAccess
from tandem.core.deadline import Deadline
from tandem.core.paths import Home, MachineDirs
from tandem.fleet.model import InfraPorts
from tandem.infra import (
    Hub,
    Leaf,
    Link,
    ServerSpec,
    nats_access,
    plan_servers,
    prepare,
    valkey_access,
    wait_ready,
)
from tandem.infra.valkey import Purpose
from tandem.security import Authority, Machine
from tandem.security.machine import NODE

READY_S = 60.0


def free_ports() -> InfraPorts:
    """Four ports nobody listens on now."""
    return InfraPorts(nats=free_port(), leaf=free_port(), monitor=free_port(), join=free_port())


async def wait_until(condition: Callable[[], object], within_s: float = 60.0) -> None:
    """Wait until ``condition`` (plain or a coroutine function) holds; fails the test when it does not in time."""
    async with asyncio.timeout(within_s):
        while True:
            held = condition()
            if await held if inspect.isawaitable(held) else held:
                return
            await asyncio.sleep(0.02)


async def flushed(client: Client) -> None:
    """Return once the server has processed everything ``client`` sent before.

    Twice, because nats-py's flush sends its PING ahead of what is still in its buffer.
    """
    await client.flush()
    await client.flush()


@pytest.fixture
def settle() -> Callable[[Client], Awaitable[None]]:
    return flushed


def listening_addresses(pid: int) -> list[str]:
    """Hexadecimal ``address:port`` of every TCP socket process ``pid`` listens on (proc(5), /proc/net/tcp)."""
    links = (os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd"))
    inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
    tables = "".join(Path(f"/proc/net/{name}").read_text() for name in ("tcp", "tcp6"))
    rows = [line.split() for line in tables.splitlines()]
    return [row[1] for row in rows if row[3] == "0A" and row[9] in inodes]


@pytest.fixture
def listeners() -> Callable[[int], list[str]]:
    return listening_addresses


@pytest.fixture
def eventually() -> Callable[..., Awaitable[None]]:
    return wait_until


class Servers:
    """The three servers of one machine, run the way a node runs them."""

    def __init__(
        self,
        authority: Authority,
        name: str,
        dirs: MachineDirs,
        ports: InfraPorts,
        link: Link | None = None,
        agents: Iterable[str] = ("Alpha", "Beta", "Watcher"),
    ) -> None:
        self.authority, self.name, self.dirs, self.ports, self.link = authority, name, dirs, ports, link
        self.agents = list(agents)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._clients: list[Client | redis.Redis] = []
        self.errors: list[str] = []

    @property
    def machine(self) -> Machine:
        return self.authority.machine(self.name)

    def specs(self) -> dict[str, ServerSpec]:
        planned = plan_servers(
            self.name,
            self.dirs,
            self.authority,
            self.ports,
            self.link,
            agents=self.agents,
            observers=["Watcher"],
        )
        return {spec.name: spec for spec in planned}

    def log(self, server: str) -> Path:
        return self.dirs.root / f"{server}.log"

    async def start(self, *names: str) -> None:
        specs = self.specs()
        chosen = [specs[name] for name in names or specs]
        for spec in chosen:
            self._spawn(spec)
        deadline = Deadline.after(READY_S)
        await asyncio.gather(*(wait_ready(spec, deadline) for spec in chosen))

    def _spawn(self, spec: ServerSpec) -> None:
        prepare(spec)
        with self.log(spec.name).open("ab") as log:
            self.processes[spec.name] = subprocess.Popen(
                spec.argv, cwd=spec.cwd, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def visible(self, name: str) -> bytes:
        """What other users or a log reader can see of a server: command line, environment, log."""
        pid = self.processes[name].pid
        seen = b"".join(Path(f"/proc/{pid}/{what}").read_bytes() for what in ("cmdline", "environ"))
        return seen + self.log(name).read_bytes()

    def kill(self, name: str) -> None:
        """SIGKILL: no flush, no farewell."""
        self.processes[name].kill()
        self.processes[name].wait()

    async def nats(self, subject: str = NODE) -> Client:
        access = nats_access(self.machine, self.ports, subject)
        tls = ssl.create_default_context(cafile=access.ca_file)
        tls.load_cert_chain(access.cert_file, access.key_file)

        async def on_error(error: Exception) -> None:
            self.errors.append(str(error))

        client = await nats.connect(
            access.url,
            tls=tls,
            nkeys_seed_str=access.nkey_seed.decode(),
            inbox_prefix=access.inbox_prefix,
            error_cb=on_error,
            allow_reconnect=True,
            reconnect_time_wait=1,
            max_reconnect_attempts=-1,
        )
        self._clients.append(client)
        return client

    def access(self, purpose: Purpose, subject: str = NODE) -> ValkeyAccess:
        return valkey_access(self.machine, self.dirs, purpose, subject)

    def valkey(self, purpose: Purpose, subject: str = NODE) -> redis.Redis:
        access = self.access(purpose, subject)
        client = redis.Redis(
            unix_socket_path=access.socket,
            username=access.username,
            password=access.password,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
        )
        self._clients.append(client)
        return client

    async def stop(self) -> None:
        for client in self._clients:
            with contextlib.suppress(Exception):
                await (client.close() if isinstance(client, Client) else client.aclose())
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(timeout=10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


MakeServers = Callable[..., Servers]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority.open(Home(tmp_path / "a home"))


@pytest.fixture
async def make_servers(tmp_path: Path, short_path: Path, authority: Authority) -> AsyncIterator[MakeServers]:
    made: list[Servers] = []
    odd = tmp_path / "a home" / "machines"  # a space, as in many real paths

    def make(name: str, ports: InfraPorts | None = None, link: Link | None = None) -> Servers:
        dirs = MachineDirs(odd / name, short_path / name)
        made.append(Servers(authority, name, dirs, ports or free_ports(), link))
        return made[-1]

    yield make
    for servers in made:
        await servers.stop()


@pytest.fixture
def short_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory short enough for unix sockets."""
    return tmp_path_factory.mktemp("r")


@pytest.fixture
async def mainpc(make_servers: MakeServers) -> Servers:
    """All servers of one machine, not linked."""
    servers = make_servers("mainpc")
    await servers.start()
    return servers


class Pair:
    """Two machines' nats-servers, the leaf linked to the hub."""

    def __init__(self, hub: Servers, leaf: Servers) -> None:
        self.hub, self.leaf = hub, leaf

    async def linked(self) -> bool:
        """Whether a request from the leaf's side is answered by the hub's JetStream."""
        client = await self.leaf.nats()
        try:
            await client.request(f"$JS.{self.hub.name}.API.INFO", b"", timeout=1)
        except (nats.errors.Error, TimeoutError):
            return False
        finally:
            await client.close()
        return True


@pytest.fixture
async def pair(make_servers: MakeServers, authority: Authority) -> Pair:
    authority.machine("pc2")
    hub = make_servers("mainpc", link=Hub({"pc2": [authority.record("pc2").leaf]}))
    leaf = make_servers("pc2", link=Leaf("mainpc", "127.0.0.1", hub.ports.leaf))
    await asyncio.gather(hub.start("nats"), leaf.start("nats"))
    both = Pair(hub, leaf)
    await wait_until(both.linked)
    return both
