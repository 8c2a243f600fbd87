"""The ways a program that is not an agent can be asked: zmq, http, a command, a line in its log."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from tandem.core.errors import Unavailable, Unreachable
from tandem.core.health import Status, parse_status
from tandem.fleet.model import AgentConfig, Probe
from tandem.supervise.probing import Ask, Prober

ALIVE_S = 1.0
"""A program without a probe counts as ready when it has lived so long."""


def prober_for(config: AgentConfig, log_file: Path) -> Prober:
    """How the program ``config`` describes is asked. Call it before the program starts: a log line is looked for from
    the end the log has now.
    """
    probe = config.probe
    if probe is None:
        return Prober(ask=_OldEnough(ALIVE_S), every_s=3600.0)
    return Prober(
        ask=_ask(probe, log_file),
        every_s=probe.every_s,
        timeout_s=probe.timeout_s,
        failures=probe.failures,
        give_up_s=max(10.0, 3 * probe.failures * probe.every_s),
    )


def _ask(probe: Probe, log_file: Path) -> Ask:
    match probe.kind:
        case "zmq":
            return lambda timeout_s: _ask_zmq(probe.target, timeout_s)
        case "http":
            return lambda timeout_s: _ask_http(probe.target, timeout_s)
        case "exec":
            return lambda timeout_s: _ask_exec(probe.argv, timeout_s)
        case "log-line":
            return _LogLine(re.compile(probe.target), log_file)


class _OldEnough:
    """Serves from a certain age on."""

    def __init__(self, seconds: float):
        self._seconds = seconds

    async def __call__(self, timeout_s: float) -> None:
        await asyncio.sleep(self._seconds)
        self._seconds = 0.0


class _LogLine:
    """Serves once a line matched; a line seen stays seen."""

    def __init__(self, pattern: re.Pattern[str], log_file: Path):
        self._pattern = pattern
        self._file = log_file
        self._offset = log_file.stat().st_size if log_file.exists() else 0
        self._unseen = True

    async def __call__(self, timeout_s: float) -> None:
        if self._unseen and not self._found():
            raise Unavailable(f"no line in its log matches {self._pattern.pattern!r} yet")
        self._unseen = False

    def _found(self) -> bool:
        try:
            with self._file.open("rb") as file:
                if os.fstat(file.fileno()).st_size < self._offset:
                    self._offset = 0  # rotated since
                file.seek(self._offset)
                text = file.read()
        except FileNotFoundError:
            return False
        complete = text[: text.rfind(b"\n") + 1]
        self._offset += len(complete)
        return any(self._pattern.search(_message(line)) for line in complete.splitlines())


def _message(line: bytes) -> str:
    try:
        fields = msgspec.json.decode(line)
    except msgspec.DecodeError:
        return line.decode("utf-8", "replace")
    return str(fields.get("msg", "")) if isinstance(fields, dict) else ""


async def _ask_zmq(endpoint: str, timeout_s: float) -> None:
    import zmq
    import zmq.asyncio

    context = zmq.asyncio.Context.instance()
    with context.socket(zmq.REQ) as link:
        link.setsockopt(zmq.LINGER, 0)
        link.connect(endpoint)
        try:
            async with asyncio.timeout(timeout_s):
                await link.send(b'{"action": "health_check"}')
                answer = await link.recv()
        except TimeoutError as error:
            raise Unreachable(f"{endpoint} does not answer") from error
    _judge(endpoint, answer)


def _judge(endpoint: str, answer: bytes) -> None:
    try:
        fields = msgspec.json.decode(answer)
        status = parse_status(str(fields["status"]))
    except (msgspec.DecodeError, KeyError, TypeError, ValueError) as error:
        raise Unavailable(f"{endpoint} answered no health: {answer[:100]!r}") from error
    if status not in (Status.HEALTHY, Status.DEGRADED):
        raise Unavailable(f"{endpoint} says it is {status}")


async def _ask_http(url: str, timeout_s: float) -> None:
    parts = urlsplit(url)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80)
            try:
                writer.write(f"GET {path} HTTP/1.0\r\nHost: {parts.netloc}\r\n\r\n".encode())
                status = (await reader.readline()).split()
            finally:
                writer.close()
    except (OSError, TimeoutError) as error:
        raise Unreachable(f"{url}: {error or 'no answer'}") from error
    if len(status) < 2 or not status[1].startswith(b"2"):
        raise Unavailable(f"{url} answered {b' '.join(status).decode('latin-1') or 'nothing'}")


async def _ask_exec(argv: list[str], timeout_s: float) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *argv,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        raise Unavailable(f"{argv[0]}: {error.strerror}") from error
    try:
        async with asyncio.timeout(timeout_s):
            _out, err = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise Unreachable(f"{argv[0]} is not done after {timeout_s:g} s") from error
    if process.returncode != 0:
        last = err.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise Unavailable(f"{argv[0]} exited with {process.returncode}: {' '.join(last)}")
