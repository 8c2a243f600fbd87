"""The door through which a second computer joins: one question and one answer over TCP, both sealed with the code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections.abc import Callable

from tandem.core.errors import PermissionDenied, TandemError, TooLarge, Unreachable
from tandem.security import Authority, Guest, Host

log = logging.getLogger(__name__)

MESSAGE_MAX = 16 * 1024
EXCHANGE_S = 10.0
GUESTS_AT_ONCE = 8

_LENGTH = struct.Struct(">I")


class JoinDesk:
    """Admits invited computers while it is open; the node opens it only while an invitation stands.

    ``admitted`` is called with the name of each machine that joined, so that servers learn its key.
    """

    def __init__(self, host: Host, admitted: Callable[[str], object] = lambda _: None) -> None:
        self._host = host
        self._admitted = admitted
        self._server: asyncio.Server | None = None
        self._places = asyncio.Semaphore(GUESTS_AT_ONCE)

    async def open(self, address: str, port: int) -> None:
        """Listen at ``address:port``. Raises ``OSError`` when it is taken."""
        self._server = await asyncio.start_server(self._serve, address, port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        where = writer.get_extra_info("peername")[0]
        try:
            async with self._places, asyncio.timeout(EXCHANGE_S):
                machine, answer = self._host.admit(await _receive(reader), where)
                await _send(writer, answer)
        except TandemError as error:
            # Nothing is told to whoever does not know the code.
            log.warning("refused a computer at %s: %s", where, error)
        except (OSError, EOFError, TimeoutError) as error:
            log.info("a computer at %s went away while joining: %s", where, error)
        else:
            log.info("%s joined from %s", machine, where)
            self._admitted(machine)
        finally:
            writer.close()


async def join(guest: Guest, address: str, port: int, timeout_s: float = EXCHANGE_S) -> Authority:
    """Ask the computer at ``address:port`` to admit ``guest``; returns this computer's view of the CA.

    Raises :class:`Unreachable` when nobody is there, :class:`PermissionDenied` when the code is wrong, used or expired.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(address, port)
            try:
                await _send(writer, guest.question())
                answer = await _receive(reader)
            finally:
                writer.close()
    except EOFError as error:
        raise PermissionDenied(
            f"{address} does not admit this computer",
            hint="the code may be mistyped, used or expired: tandem machine invite, over there",
        ) from error
    except (OSError, TimeoutError) as error:
        raise Unreachable(
            f"no answer from {address}:{port}: {error or 'timeout'}",
            hint="is tandem running there, and an invitation open?",
        ) from error
    return guest.settle(answer)


async def _send(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(_LENGTH.pack(len(message)) + message)
    with contextlib.suppress(ConnectionResetError):
        await writer.drain()


async def _receive(reader: asyncio.StreamReader) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > MESSAGE_MAX:
        raise TooLarge(f"a message of {length} bytes")
    return await reader.readexactly(length)
