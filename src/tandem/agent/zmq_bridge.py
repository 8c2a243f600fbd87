"""A door for old clients: one-frame JSON over plain ZeroMQ, answered by agents of this fleet.

An agent like any other, named in the fleet file::

    OldClients:
      class: tandem.agent.zmq_bridge:ZmqBridge
      side_ports: {Greeter: 7291, Memory: 7292}      # one door each, named like the agent behind it
      settings: {doors: {Memory: MemoryHub@pc2}}     # or said here
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec
import zmq
import zmq.asyncio
from msgspec import Struct

from tandem.agent.base import Agent
from tandem.core.errors import ConfigError, InvalidArguments, Overloaded, TandemError
from tandem.core.health import Issue
from tandem.core.tasks import end

ACTION = ("action", "command", "request_type", "method", "type")
"""What old clients call the thing they want done, in the order they are looked for."""

ARGUMENTS = ("params", "parameters", "args", "arguments", "payload", "data")
"""Where they put what it is done with; without any, the rest of the message."""

MAX_REQUEST = 1024 * 1024
MAX_UNDER_WAY = 256


class ZmqBridge(Agent):
    """Answers old clients, which prove nobody's identity: their calls count as this agent's own.

    A request is ``{"action": name, ...}`` (see ``ACTION`` and ``ARGUMENTS`` for what else is understood). The answer is
    ``{"status": "success", "result": …}`` or ``{"status": "error", "error": text, "code": …}``; ``health_check`` is
    answered with the health itself, as old agents did. REQ and DEALER sockets are served; order is kept by neither.
    """

    class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
        """``doors``: side port to the agent behind it, where the names differ. ``host``: loopback unless said otherwise,
        since anybody who reaches it may call. ``actions``: what may be called; empty means everything.
        """

        doors: dict[str, str] = {}
        host: str = "127.0.0.1"
        actions: list[str] = []
        timeout_s: float = 5.0

    async def start(self) -> None:
        """Open every door. Raises :class:`ConfigError` for one that cannot be opened."""
        ports = self._context.side_ports
        unknown = self.settings.doors.keys() - ports.keys()
        if unknown or not ports:
            what = f"no side port named {', '.join(sorted(unknown))}" if unknown else "no side_ports"
            raise ConfigError(f"{self.name} has {what}", hint="side_ports: {Greeter: 7291}")
        self._under_way: set[asyncio.Task[None]] = set()
        self._refused = 0
        self._zmq = zmq.asyncio.Context()
        self._doors = [self._open(name, port) for name, port in ports.items()]

    async def stop(self) -> None:
        await end(*self._doors, *self._under_way)
        self._zmq.destroy(linger=100)

    async def check(self) -> Iterable[Issue]:
        broken = [door.get_name() for door in self._doors if door.done()]
        return [Issue(f"{name} is closed", blocking=True) for name in broken]

    def _open(self, name: str, port: int) -> asyncio.Task[None]:
        door = self._zmq.socket(zmq.ROUTER)
        door.setsockopt(zmq.MAXMSGSIZE, MAX_REQUEST)
        door.setsockopt(zmq.ROUTER_HANDOVER, 1)
        try:
            door.bind(f"tcp://{self.settings.host}:{port}")
        except zmq.ZMQError as error:
            raise ConfigError(f"cannot listen on port {port} for {name}: {error}") from error
        agent = self.settings.doors.get(name, name)
        return asyncio.create_task(self._serve(door, agent), name=f"the door to {agent}")

    async def _serve(self, door: zmq.asyncio.Socket, agent: str) -> None:
        with door:
            while True:
                *envelope, body = await door.recv_multipart()
                if len(self._under_way) >= MAX_UNDER_WAY:
                    busy = Overloaded("too many requests at once")
                    await door.send_multipart([*envelope, _failure(busy)])
                    continue
                work = asyncio.create_task(self._respond(door, envelope, agent, body))
                self._under_way.add(work)
                work.add_done_callback(self._under_way.discard)

    async def _respond(
        self, door: zmq.asyncio.Socket, envelope: list[bytes], agent: str, body: bytes
    ) -> None:
        await door.send_multipart([*envelope, await self._answer(agent, body)])

    async def _answer(self, agent: str, body: bytes) -> bytes:
        try:
            action, arguments = parse(body)
            if self.settings.actions and action not in self.settings.actions and action != "health_check":
                raise InvalidArguments(f"{action!r} is not open to old clients")
            async with asyncio.timeout(self.settings.timeout_s):
                result = await getattr(self.peer(agent), action)(**arguments)
        except TandemError as error:
            return _failure(error)
        except TimeoutError:
            return _failure(TandemError(f"{agent} did not answer within {self.settings.timeout_s:g} s"))
        return msgspec.json.encode(result if action == "health_check" else {"status": "success", "result": result})


def parse(body: bytes) -> tuple[str, dict[str, Any]]:
    """The action an old client wants, and its arguments by name. Raises :class:`InvalidArguments`."""
    try:
        fields = msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.DecodeError as error:
        raise InvalidArguments(f"not a JSON object: {error}") from None
    named = next((key for key in ACTION if isinstance(fields.get(key), str)), None)
    action = fields.pop(named) if named else ""
    if not action.isidentifier() or action.startswith("_"):
        raise InvalidArguments(f'no action in it; say {{"action": "health_check"}} (found: {", ".join(fields)})')
    nested = next((key for key in ARGUMENTS if isinstance(fields.get(key), dict)), None)
    return action, fields[nested] if nested else fields


def _failure(error: TandemError) -> bytes:
    words = {"status": "error", "error": error.message, "message": error.message, "code": error.code}
    return msgspec.json.encode(words)
