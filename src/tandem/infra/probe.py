"""Asking a server whether it serves, without its client library: probes run while everything else is starting."""

from __future__ import annotations

import asyncio
import shutil
from typing import Any

import msgspec

from tandem.core.deadline import Deadline
from tandem.core.errors import Unavailable, Unreachable
from tandem.infra.spec import NatsProbe, Probe, ServerSpec, ValkeyProbe

_POLL_FIRST_S = 0.005
_POLL_MOST_S = 0.1
_BODY_MAX = 4 * 1024 * 1024

SHUT = ("write error", "JetStream not enabled")
"""nats-server's words for what a full disk leaves behind: a stream that stores nothing more, or all of them."""

ROOM = 4 * 1024 * 1024
"""Bytes below which a disk is still full: a server started anew would meet the same wall, and what it does without its disk
(the link between machines, live messages) would stop meanwhile."""


class DiskFull(Unavailable):
    """A restart would mend it, but not before there is room."""


class JetStreamConfig(msgspec.Struct, frozen=True):
    """Where nats-server keeps streams; empty without JetStream."""

    store_dir: str = ""


class JetStreamState(msgspec.Struct, frozen=True):
    """What nats-server tells of JetStream."""

    config: JetStreamConfig = JetStreamConfig()


class NatsState(msgspec.Struct, frozen=True):
    """What we read of nats-server's ``/varz``; times are RFC 3339."""

    server_name: str
    start: str
    config_load_time: str
    jetstream: JetStreamState = JetStreamState()


async def check(probe: Probe, timeout_s: float = 2.0) -> None:
    """Return when the server serves; raise :class:`Unreachable` or :class:`Unavailable` with the reason."""
    try:
        async with asyncio.timeout(timeout_s):
            match probe:
                case NatsProbe():
                    await _check_nats(probe)
                case ValkeyProbe():
                    await _check_valkey(probe)
    except TimeoutError as error:
        raise Unreachable(f"no answer within {timeout_s} s") from error
    except (OSError, EOFError) as error:
        raise Unreachable(str(error) or type(error).__name__) from error


async def wait_ready(spec: ServerSpec, deadline: Deadline) -> None:
    """Wait until ``spec`` serves; raises what :func:`check` said last once ``deadline`` has passed."""
    pause = _POLL_FIRST_S
    while True:
        try:
            return await check(spec.probe, max(0.05, deadline.remaining()))
        except (Unreachable, Unavailable) as error:
            if deadline.remaining() <= pause:
                raise Unreachable(f"{spec.name} does not serve: {error.message}") from error
        await asyncio.sleep(pause)
        pause = min(pause * 1.5, _POLL_MOST_S)


async def nats_state(probe: NatsProbe) -> NatsState:
    """The server's own account of itself. Raises ``OSError`` when nobody listens, :class:`Unavailable` for nonsense."""
    status, body = await http_get(probe.monitor, "/varz")
    if status != 200:
        raise Unavailable(f"/varz answered {status}")
    try:
        return msgspec.json.decode(body, type=NatsState)
    except msgspec.MsgspecError as error:
        raise Unavailable(f"port {probe.monitor} is not a nats-server: {error}") from error


async def http_get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of ``http://127.0.0.1:<port><path>``; raises ``OSError`` or ``EOFError``."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(f"GET {path} HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        while len(body) < _BODY_MAX and (chunk := await reader.read(65536)):
            body += chunk
    finally:
        writer.close()
    try:
        return int(head.split(maxsplit=2)[1]), body
    except (IndexError, ValueError) as error:
        raise Unavailable(f"port {port} does not speak HTTP") from error


async def _check_nats(probe: NatsProbe) -> None:
    status, body = await http_get(probe.monitor, "/healthz")
    if status != 200:
        # Nothing but a restart makes the server store again. What else the whole check finds (a stream or consumer that
        # is still being recovered) passes by itself, so the narrow one decides.
        reason = _reason(body)
        if any(words in reason for words in SHUT):
            hint = "make room on the disk; it is then started anew"
            if _is_full(probe.store_dir):
                raise DiskFull(f"the disk is full, so it stores nothing: {reason}", hint=hint)
            raise Unavailable(f"it stores nothing: {reason}", hint=hint)
        status, body = await http_get(probe.monitor, "/healthz?js-server-only=true")
    if status != 200:
        raise Unavailable(f"/healthz answered {status}: {_reason(body)}")
    owner = (await nats_state(probe)).jetstream.config.store_dir
    if not owner.startswith(probe.store_dir):
        raise Unavailable(
            f"port {probe.monitor} belongs to the nats-server of {owner or 'somebody else'}",
            hint="set PORT_OFFSET to run a second fleet on this computer",
        )


def _is_full(folder: str) -> bool:
    try:
        return shutil.disk_usage(folder).free < ROOM
    except OSError:
        return False


def _reason(body: bytes) -> str:
    try:
        answer: Any = msgspec.json.decode(body)
    except msgspec.MsgspecError:
        return body[:200].decode(errors="replace")
    return str(answer.get("error", answer)) if isinstance(answer, dict) else str(answer)


async def _check_valkey(probe: ValkeyProbe) -> None:
    await valkey_commands(probe, ("PING",))


async def valkey_commands(probe: ValkeyProbe, *commands: tuple[str, ...]) -> list[str]:
    """Log in and run ``commands`` that answer with one line (https://valkey.io/topics/protocol/).

    Raises ``OSError`` or ``EOFError`` when nobody answers, :class:`Unavailable` with the server's words on an error.
    """
    for password in (probe.access.password, *probe.former):
        answers = await _converse(probe, ("AUTH", probe.access.username, password), *commands)
        if answers[0].startswith("+"):
            break
    for command, answer in zip(("AUTH", *(command[0] for command in commands)), answers, strict=True):
        if not answer.startswith("+"):
            raise Unavailable(f"{command}: {answer.lstrip('-')}")
    return [answer[1:] for answer in answers[1:]]


async def _converse(probe: ValkeyProbe, *commands: tuple[str, ...]) -> list[str]:
    reader, writer = await asyncio.open_unix_connection(probe.access.socket)
    try:
        writer.write(b"".join(_encode(command) for command in commands))
        return [(await reader.readuntil(b"\r\n")).decode().rstrip() for _ in commands]
    finally:
        writer.close()


def _encode(command: tuple[str, ...]) -> bytes:
    words = [word.encode() for word in command]
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)
