"""The door through which a second computer joins: one question and one answer over TCP, both sealed with the code."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections import Counter
from collections.abc import Callable

from msgspec import Struct

from tandem.core.errors import PermissionDenied, TandemError, TooLarge, Unreachable
from tandem.security import Authority, Bundle, Guest, Host

log = logging.getLogger(__name__)

QUESTION_MAX = 16 * 1024
ANSWER_MAX = 4 * 1024 * 1024
"""Bytes of a message: a question is some keys, an answer may hold a large fleet file."""
EXCHANGE_S = 10.0
GUESTS_AT_ONCE = 32
GUESTS_PER_ADDRESS = 4
"""Conversations at once; a further caller is hung up on, so that whoever dawdles shuts out nobody but itself."""

_LENGTH = struct.Struct(">I")


class Arrival(Struct, frozen=True):
    """``machine`` joined from the address ``came_from``, and reached us at ours, ``reached``."""

    machine: str
    came_from: str
    reached: str


class JoinDesk:
    """Admits invited computers while it is open.

    ``bundle`` makes what a computer that reached us at a certain address is given along. ``admitted`` is called with
    each computer that joined, and ``refused`` with the address of one that did not and the reason.
    """

    def __init__(
        self,
        host: Host,
        bundle: Callable[[str], Bundle] = lambda _reached: Bundle(),
        admitted: Callable[[Arrival], object] = lambda _: None,
        refused: Callable[[str, str], object] = lambda _where, _why: None,
    ) -> None:
        self._host = host
        self._bundle = bundle
        self._admitted = admitted
        self._refused = refused
        self._server: asyncio.Server | None = None
        self._guests: Counter[str] = Counter()

    async def open(self, address: str | None, port: int) -> None:
        """Listen at ``address:port`` (None: every address). Raises ``OSError`` when it is taken."""
        self._server = await asyncio.start_server(self._serve, address, port, limit=QUESTION_MAX)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
            self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        where = _plain(writer.get_extra_info("peername")[0])
        if self._guests.total() >= GUESTS_AT_ONCE or self._guests[where] >= GUESTS_PER_ADDRESS:
            writer.transport.abort()
            return
        self._guests[where] += 1
        try:
            async with asyncio.timeout(EXCHANGE_S):
                reached = _plain(writer.get_extra_info("sockname")[0])
                question = await _receive(reader, QUESTION_MAX)
                machine, answer = self._host.admit(question, where, self._bundle(reached))
                await _send(writer, answer)
        except TandemError as error:
            # Nothing is told to whoever does not know the code.
            log.warning("refused a computer at %s: %s", where, error)
            self._refused(where, error.message)
        except (OSError, EOFError, TimeoutError) as error:
            log.info("a computer at %s went away while joining: %s", where, error)
        else:
            log.info("%s joined from %s", machine, where)
            self._admitted(Arrival(machine, where, reached))
        finally:
            self._guests[where] -= 1
            if not self._guests[where]:
                del self._guests[where]
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
                answer = await _receive(reader, ANSWER_MAX)
            finally:
                writer.close()
    except (EOFError, ConnectionResetError) as error:
        raise PermissionDenied(
            f"{address} does not admit this computer",
            hint="the code may be mistyped, used or expired, or meant for another machine: tandem machine invite, over there",
        ) from error
    except (OSError, TimeoutError) as error:
        raise Unreachable(
            f"no answer from {address}:{port}: {error or 'timeout'}",
            hint="is `tandem machine invite` waiting there, and does its firewall let the port through?",
        ) from error
    return guest.settle(answer)


async def _send(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(_LENGTH.pack(len(message)) + message)
    with contextlib.suppress(ConnectionResetError):
        await writer.drain()


def _plain(address: str) -> str:
    """An IPv4 address as it is known, also on a socket that speaks both with its IPv6 prefix removed."""
    return address.removeprefix("::ffff:").partition("%")[0]


async def _receive(reader: asyncio.StreamReader, most: int) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > most:
        raise TooLarge(f"a message of {length} bytes")
    return await reader.readexactly(length)
