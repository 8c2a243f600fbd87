"""Who tries the nats-server's two doors without a good certificate and key is refused, and each refusal can be told."""

from __future__ import annotations

import asyncio
import datetime as dt
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path

import nats
import nats.errors
import pytest

from tandem.core.paths import Home
from tandem.infra import Hub, Leaf, Refusal, Refusals, nats_access, reload
from tandem.security import Authority, TlsFiles, x509
from tandem.security.keyring import Keyring
from tandem.security.machine import tls_key

pytestmark = pytest.mark.integration

REFUSED = (nats.errors.Error, ssl.SSLError, OSError, TimeoutError)


class Doors:
    """The hub's nats-server, with what somebody may try at it."""

    def __init__(self, servers, authority: Authority, directory: Path) -> None:
        self.servers, self.authority, self.directory = servers, authority, directory
        self.ca = nats_access(servers.machine, servers.ports, "node").ca_file
        self.refusals = Refusals(servers.ports.monitor, servers.log("nats"))
        self.told: list[Refusal] = []

    async def try_client(self, tls: TlsFiles | None, seed: bytes) -> None:
        """Log in as a client does; must fail."""
        with pytest.raises(REFUSED):
            client = await nats.connect(
                f"tls://127.0.0.1:{self.servers.ports.nats}", tls=self._context(tls), nkeys_seed_str=seed.decode(),
                allow_reconnect=False, max_reconnect_attempts=0, connect_timeout=30, error_cb=_ignore,
            )  # fmt: skip
            await client.close()

    async def try_link(self, tls: TlsFiles | None) -> None:
        """Knock at the link port as another server would; no word of the account may come."""
        with pytest.raises((ssl.SSLError, OSError, EOFError)):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", self.servers.ports.leaf, ssl=self._context(tls)
            )
            try:
                await reader.readuntil(b"\r\n")
                writer.write(b'CONNECT {"name": "pc2", "nkey": "UNKNOWN"}\r\n')
                await reader.readuntil(b"PING")
            finally:
                writer.close()

    async def are_told(self, door: str, why: str) -> None:
        """A refusal with that in it is told, once."""
        async with asyncio.timeout(60):
            while not self._matching(door, why):
                self.told += await self.refusals.fresh()
                await asyncio.sleep(0.02)
        [found] = self._matching(door, why)
        assert found.where == "127.0.0.1"
        self.told.clear()

    def expired(self) -> TlsFiles:
        """A certificate of the right CA for the right machine that ended an hour ago."""
        keyring = Keyring((self.authority._root / "machines" / "mainpc" / "seed").read_bytes())
        key = tls_key(keyring, "client")
        pair = x509.KeyAndCertificate(self.authority._private_key(), Path(self.ca).read_bytes())
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(x509, "LIFE", dt.timedelta(hours=-1))
            certificate = x509.certify(pair, key.public_key(), "mainpc client", ["mainpc"], serves=False)
        paths = self.directory / "expired.pem", self.directory / "expired.key"
        paths[0].write_bytes(certificate)
        paths[1].write_bytes(x509.private_pem(key))
        return TlsFiles(self.ca, *map(str, paths))

    def _matching(self, door: str, why: str) -> list[Refusal]:
        return [one for one in self.told if one.door == door and why in one.why]

    def _context(self, tls: TlsFiles | None) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self.ca)
        if tls is not None:
            context.load_cert_chain(tls.cert, tls.key)
        return context


async def _ignore(_: Exception) -> None:
    """The attempt's own exception is what counts."""


@pytest.fixture
async def doors(make_servers, authority: Authority, tmp_path: Path) -> Doors:
    authority.machine("pc2")
    servers = make_servers("mainpc", link=Hub({"pc2": [authority.record("pc2").leaf]}))
    await servers.start("nats")
    doors = Doors(servers, authority, tmp_path)
    assert await doors.refusals.fresh() == []
    return doors


async def test_each_bad_identity_is_refused_and_told(doors: Doors, tmp_path: Path) -> None:
    """No certificate, one of another CA, an expired one and a key nobody knows: refused at both doors, and each is told
    once, with the address it came from and what was wrong."""
    machine = doors.servers.machine
    good = machine.nkey("node").seed
    stranger = Authority.open(Home(tmp_path / "other")).machine("mainpc")
    bad: list[tuple[TlsFiles | None, str]] = [
        (None, "didn't provide a certificate"),
        (stranger.client_tls, "unknown authority"),
        (doors.expired(), "expired"),
    ]
    for tls, why in bad:
        await doors.try_client(tls, good)
        await doors.are_told("NATS", why)
        await doors.try_link(tls)
        await doors.are_told("NATS link", why)
    await doors.try_client(machine.client_tls, stranger.nkey("node").seed)
    await doors.are_told("NATS", "Authentication Failure")
    await doors.try_link(machine.client_tls)
    await doors.are_told("NATS link", "Authentication Failure")
    # Those who belong here are neither refused nor told of.
    client = await doors.servers.nats("Alpha")
    await client.close()
    assert await doors.refusals.fresh() == []


async def test_a_revoked_machine_is_refused_and_told(
    doors: Doors, make_servers, authority: Authority, eventually: Callable[..., Awaitable[None]]
) -> None:
    """After its removal a machine's server with its good certificate links no more, and every try is told, on either side."""
    stale = authority.machine("pc2")
    leaf = make_servers("pc2", link=Leaf("mainpc", "127.0.0.1", doors.servers.ports.leaf))
    leaf.authority = _Frozen(authority, stale)
    authority.revoke("pc2")
    doors.servers.link = Hub({})
    await reload(doors.servers.specs()["nats"], doors.servers.processes["nats"].pid)
    own = Refusals(leaf.ports.monitor, leaf.log("nats"))
    await leaf.start("nats")
    told: list[Refusal] = []

    async def knocked() -> bool:
        told.extend(await doors.refusals.fresh())
        return bool(told)

    await eventually(knocked)
    assert {(one.door, one.why) for one in told} == {("NATS link", "Authentication Failure")}
    await eventually(lambda: own.own() > 0)
    assert doors.refusals.own() == 0  # nobody turned the hub away
    leaf.kill("nats")
    own.own()
    assert own.own() == 0  # each is counted once


class _Frozen:
    """The CA as the removed computer still has it."""

    def __init__(self, authority: Authority, machine) -> None:
        self._machine = machine

    def machine(self, name: str, hosts=()):
        return self._machine


async def test_an_absent_server_is_an_error_and_then_goes_on(doors: Doors) -> None:
    """While the server is away a look raises; what happens after its return is told again."""
    doors.servers.kill("nats")
    with pytest.raises((OSError, EOFError)):
        await doors.refusals.fresh()
    await doors.servers.start("nats")
    await doors.try_client(None, doors.servers.machine.nkey("node").seed)
    await doors.are_told("NATS", "certificate")
