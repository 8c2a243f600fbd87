"""Whole agent lives played through before the first real one is born, so that every agent inherits what they leave.

A function's first calls rewrite its bytecode for speed, fill the interpreter's caches of attributes and leave
marks in the reference counts of names: in 77 forked agents that is 77 copies of the same pages. Played through here
once, with a loop, a socket, a registry and a caller of its own, those pages stay shared. All of it is gone again when
:func:`rehearse` returns: no thread, no loop, no socket, no file. The loop is asyncio's own, because libuv keeps a
pipe for the whole process (``uv__signal_global_init``), which a forked agent that tidies its descriptors would break.
"""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from pathlib import Path
from typing import cast

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tandem.agent import Agent
from tandem.agent.run import AgentProcess
from tandem.agent.runtime import make_settings
from tandem.agent.spec import AgentSpec
from tandem.core import clock
from tandem.core.access import ValkeyAccess
from tandem.core.health import HealthReport
from tandem.core.paths import MachineDirs
from tandem.registry import resp
from tandem.rpc import Endpoint, Peers
from tandem.security import Identity, IdentityMaterial
from tandem.security.model import Kind
from tandem.security.tokens import SEPARATOR, CredentialClaims, MachineClaims, encode_key, sign

LIVES = 10
"""Python 3.11 rewrites a function's bytecode in its eighth call, and settles its caches in the next ones."""

PATIENCE_S = 5.0
AGENT, MACHINE, CALLER = "Rehearsal", "nowhere", "operator"
SERVICE = f"{AGENT}@{MACHINE}"


def rehearse(lives: int = LIVES) -> None:
    """Live ``lives`` agent lives, one after another. Raises ``OSError`` or ``TandemError`` where a real one would."""
    chain = _Chain()
    with tempfile.TemporaryDirectory(prefix="tandem-") as folder:
        for number in range(lives):
            place = Path(folder, str(number))
            (place / "a").mkdir(parents=True)
            with asyncio.Runner(loop_factory=asyncio.SelectorEventLoop) as runner:
                runner.run(_live(place, chain))


async def _live(place: Path, chain: _Chain) -> None:
    """One life: birth, READY, a lease, two calls, and the end."""
    loop = asyncio.get_running_loop()
    registry = await loop.create_unix_server(_Registry, str(place / "registry"))
    read_end, write_end = os.pipe()
    door = socket.socket(socket.AF_UNIX)
    path = MachineDirs(place, place).agent_socket(AGENT)
    door.bind(str(path))
    door.listen()
    spec = AgentSpec(
        name=AGENT,
        machine=MACHINE,
        instance="",
        class_path="",
        state_dir=str(place / "state"),
        run_dir=str(place),
        unix_fd=door.detach(),
        notify_fd=write_end,
        identity=chain.issue(SERVICE, "agent"),
        control=ValkeyAccess(str(place / "registry"), AGENT, "secret"),
        directory={AGENT: [MACHINE]},
    )
    stop = asyncio.Event()
    life = asyncio.create_task(AgentProcess(spec, Agent, make_settings(Agent, {})).live(stop))
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _call(path, Identity(chain.issue(CALLER, "operator")))
    finally:
        stop.set()
        await life
        registry.close()
        await registry.wait_closed()
        os.close(read_end)
        os.close(write_end)


async def _call(path: Path, identity: Identity) -> None:
    peers = Peers(_Here(path), token=identity.token)
    try:
        await peers.call(SERVICE, "ping", {}, result=str)
        await peers.call(SERVICE, "health_check", {}, result=HealthReport)
    finally:
        await peers.close()


class _Here:
    def __init__(self, path: Path):
        self._endpoint = Endpoint("unix", str(path), service=SERVICE)

    async def resolve(self, peer: str, deadline: object) -> Endpoint:
        return self._endpoint


class _Registry(asyncio.Protocol):
    """Says yes to everything."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        at = 0
        while at < len(data):
            _command, at = resp.parse(data, at)
            self._transport.write(b":1\r\n")


class _Chain:
    """An authority and a machine that exist nowhere else: what they certify means nothing outside of this module."""

    def __init__(self) -> None:
        root, self._machine = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
        self._public = root.public_key().public_bytes_raw()
        key = _public_text(self._machine)
        self._certificate = sign(MachineClaims(MACHINE, key, "", 0, *_times()), root)

    def issue(self, name: str, kind: Kind) -> IdentityMaterial:
        key = Ed25519PrivateKey.generate()
        claims = CredentialClaims(name, kind, _public_text(key), (), 0, *_times())
        credential = SEPARATOR.join((self._certificate, sign(claims, self._machine)))
        return IdentityMaterial(name, key.private_bytes_raw(), credential, self._public)


def _public_text(key: Ed25519PrivateKey) -> str:
    return encode_key(key.public_key().public_bytes_raw())


def _times() -> tuple[int, int]:
    now = int(clock.wall())
    return now, now + 60
