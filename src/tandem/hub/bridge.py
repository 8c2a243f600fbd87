"""Hears an old ZeroMQ error bus and, while old readers remain, serves it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Annotated

import zmq
import zmq.asyncio
from msgspec import Meta, Struct

from tandem.core import clock
from tandem.core.damage import set_aside
from tandem.core.errors import ConfigError
from tandem.core.files import write_atomic
from tandem.core.tasks import end
from tandem.errors import Receipt
from tandem.errors.legacy import TOPIC, Phase, Twins, parse, render
from tandem.errors.report import ErrorReport

LOOK_S = 0.5
HIGH_WATER_MARK = 100_000
"""Messages ZeroMQ holds in each direction before it drops."""

log = logging.getLogger("tandem.hub")

Port = Annotated[int, Meta(ge=1, le=65_535)]


class LegacyBus(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``port``: where old senders connect their PUB sockets; ``publish_port``: where old readers connect their SUB
    sockets, in phase ``dual``. The old bus proves nobody's identity, so it listens on loopback unless ``host`` says
    otherwise. ``phase`` is the first one; `tandem errors migrate` changes it for good.
    """

    port: Port
    publish_port: Port | None = None
    host: str = "127.0.0.1"
    phase: Phase = Phase.DUAL


class LegacyBridge:
    """Between :meth:`start` and :meth:`close`: what only the old bus told goes to ``relay``."""

    def __init__(self, bus: LegacyBus, machine: str, state: Path, relay: Callable[[ErrorReport], Receipt]):
        self.phase = bus.phase
        self.heard = 0
        self._bus = bus
        self._machine = machine
        self._file = state / "legacy-phase"
        self._relay = relay
        self._twins = Twins()
        self._context: zmq.asyncio.Context | None = None
        self._out: zmq.asyncio.Socket | None = None
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Go on in the phase of last time. Raises :class:`ConfigError` when a port is taken."""
        if self._file.exists():
            try:
                self.phase = Phase(self._file.read_text().strip())
            except ValueError:
                aside = set_aside(self._file).name
                log.error("%s names no phase and is put aside as %s: begun in %s", self._file, aside, self.phase)
        self._open()

    async def close(self) -> None:
        """Stop listening; what waited for a twin is relayed."""
        await end(*self._tasks)
        self._tasks = []
        self._relay_ripe(float("inf"))
        if self._context is not None:
            self._context.destroy(linger=0)
            self._context = self._out = None

    async def migrate(self, phase: Phase) -> None:
        """Enter ``phase``, also after a restart. Raises :class:`ConfigError` when a port is taken."""
        write_atomic(self._file, phase.encode())
        await self.close()
        self.phase = phase
        self._open()

    async def on_new(self, reports: list[ErrorReport]) -> None:
        """Reports of the new bus, which old messages may repeat and old readers want."""
        if self.phase is Phase.OFF:
            return
        for report in reports:
            if report.context.get("transport") == "zmq":
                continue
            self._twins.on_new(report, clock.monotonic())
            if self._out is not None:
                await self._out.send(render(report))

    def _open(self) -> None:
        if self.phase is Phase.OFF:
            return
        self._context = zmq.asyncio.Context()
        inbound = self._socket(zmq.SUB, self._bus.port)
        inbound.subscribe(TOPIC)
        if self.phase is Phase.DUAL and self._bus.publish_port is not None:
            self._out = self._socket(zmq.PUB, self._bus.publish_port)
        self._tasks = [
            asyncio.create_task(self._hear(inbound), name="legacy:hear"),
            asyncio.create_task(self._look(), name="legacy:look"),
        ]

    def _socket(self, kind: int, port: int) -> zmq.asyncio.Socket:
        assert self._context is not None
        socket = self._context.socket(kind)
        socket.set_hwm(HIGH_WATER_MARK)
        try:
            socket.bind(f"tcp://{self._bus.host}:{port}")
        except zmq.ZMQError as error:
            self._context.destroy(linger=0)
            raise ConfigError(
                f"the old error bus cannot listen on {self._bus.host}:{port}: {error}", hint="tandem ports"
            ) from error
        return socket

    async def _hear(self, socket: zmq.asyncio.Socket) -> None:
        while True:
            frames = await socket.recv_multipart()
            report = parse(frames, self._machine)
            if report is not None:
                self.heard += 1
                self._twins.on_old(report, clock.monotonic())

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_S)
            self._relay_ripe(clock.monotonic())

    def _relay_ripe(self, now: float) -> None:
        for report in self._twins.ripe(now):
            self._relay(report)
