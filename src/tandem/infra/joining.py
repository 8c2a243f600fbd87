"""The door through which a second computer joins: a question, an answer, the fleet's code and a verdict, over TCP.

Every message is sealed with the code, which never crosses the network.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import struct
from collections import Counter
from collections.abc import Callable

from msgspec import Struct
from msgspec.structs import replace

from tandem.core.errors import ConfigError, PermissionDenied, TandemError, TooLarge, Unreachable
from tandem.security import Authority, Bundle, Guest, Host
from tandem.security.joining import PIECE_BYTES

log = logging.getLogger(__name__)

QUESTION_MAX = 16 * 1024
ANSWER_MAX = 4 * 1024 * 1024
"""Bytes of a message: a question is some keys, an answer may hold a large fleet file."""
PARCEL_MAX = 80 * 1024 * 1024
PIECE_MAX = PIECE_BYTES + 1024
VERDICT_MAX = 4 * 1024
EXCHANGE_S = 10.0
PIECE_S = 30.0
"""For one message of the parcel, which only somebody with the code gets to see."""
INSTALL_S = 120.0
"""For the other computer to put the code on its disk."""
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

    ``bundle`` makes what a computer that reached us at a certain address is given along, with ``parcel`` to follow.
    ``admitted`` is called with each computer that joined, and ``refused`` with the address of one that did not and the
    reason.
    """

    def __init__(
        self,
        host: Host,
        bundle: Callable[[str], Bundle] = lambda _reached: Bundle(),
        admitted: Callable[[Arrival], object] = lambda _: None,
        refused: Callable[[str, str], object] = lambda _where, _why: None,
        parcel: bytes = b"",
    ) -> None:
        self._host = host
        self._bundle = bundle
        self._admitted = admitted
        self._refused = refused
        self._parcel = parcel
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
                bundle = replace(self._bundle(reached), parcel=len(self._parcel))
                machine, answer = self._host.admit(question, where, bundle)
                await _send(writer, answer)
            await self._hand_over(question, reader, writer)
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


    async def _hand_over(
        self, question: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        verdict = asyncio.ensure_future(_receive(reader, VERDICT_MAX))
        try:
            for piece in self._host.pieces(question, self._parcel):
                if verdict.done():
                    break
                async with asyncio.timeout(PIECE_S):
                    await _send(writer, piece)
            async with asyncio.timeout(INSTALL_S):
                why = self._host.verdict(question, await verdict)
        finally:
            verdict.cancel()
        if why:
            raise ConfigError(f"it did not take what it was given: {why}")


def _ignore(_bundle: Bundle) -> None:
    """No objection."""


def _drop(_bundle: Bundle, _parcel: bytes) -> None:
    """No use for code."""


async def join(
    guest: Guest,
    address: str,
    port: int,
    *,
    consider: Callable[[Bundle], object] = _ignore,
    keep: Callable[[Bundle, bytes], object] = _drop,
    progress: Callable[[int, int], object] = lambda _received, _all: None,
) -> Authority:
    """Ask the computer at ``address:port`` to admit ``guest``; returns this computer's view of the CA.

    ``consider`` is shown what it would be given before any code travels, ``keep`` gets the code, ``progress`` is told
    bytes received and bytes in all. When one of them raises a :class:`TandemError`, this computer does not join, the
    other one is told why, and the invitation stands.

    Raises :class:`Unreachable` when nobody is there, :class:`PermissionDenied` when the code is wrong, used or expired.
    """
    reader, writer, answer = await _ask(guest, address, port)
    try:
        try:
            bundle = guest.read(answer)
            consider(bundle)
            keep(bundle, await _parcel(guest, bundle.parcel, reader, progress))
            authority = guest.settle(answer)
        except (TandemError, OSError) as error:
            await _conclude(guest.verdict(str(error)), reader, writer)
            raise
        await _conclude(guest.verdict(), reader, writer)
    finally:
        writer.close()
    return authority


async def _conclude(verdict: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await _send(writer, verdict)
    # The other side hangs up when it has read that.
    with contextlib.suppress(OSError):
        async with asyncio.timeout(EXCHANGE_S):
            while await reader.read(PIECE_MAX):
                continue


async def _ask(guest: Guest, address: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter, bytes]:
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(EXCHANGE_S):
            reader, writer = await asyncio.open_connection(address, port)
            await _send(writer, guest.question())
            return reader, writer, await _receive(reader, ANSWER_MAX)
    except (EOFError, OSError) as error:
        if writer is not None:
            writer.close()
        if isinstance(error, EOFError | ConnectionResetError):
            raise PermissionDenied(
                f"{address} does not admit this computer",
                hint="the code may be mistyped, used or expired, or meant for another machine: tandem machine invite, over there",
            ) from error
        raise Unreachable(
            f"no answer from {address}:{port}: {error or 'timeout'}",
            hint="is `tandem machine invite` waiting there, and does its firewall let the port through?",
        ) from error


async def _parcel(
    guest: Guest, size: int, reader: asyncio.StreamReader, progress: Callable[[int, int], object]
) -> bytes:
    if size > PARCEL_MAX:
        raise TooLarge(f"the code of that fleet has {size} bytes")
    received = bytearray()
    number = 0
    while len(received) < size:
        try:
            async with asyncio.timeout(PIECE_S):
                message = await _receive(reader, PIECE_MAX)
        except (EOFError, OSError) as error:
            raise Unreachable("the other computer went away", hint="the same command again, while it still waits") from error
        piece = guest.piece(number, message)
        if not piece:
            raise PermissionDenied("the code of that fleet has an empty part")
        received += piece
        number += 1
        progress(len(received), size)
    return bytes(received)


async def _send(writer: asyncio.StreamWriter, message: bytes) -> None:
    writer.write(_LENGTH.pack(len(message)) + message)
    with contextlib.suppress(ConnectionError):
        await writer.drain()


def _plain(address: str) -> str:
    """An IPv4 address as it is known, also on a socket that speaks both with its IPv6 prefix removed."""
    return address.removeprefix("::ffff:").partition("%")[0]


async def _receive(reader: asyncio.StreamReader, most: int) -> bytes:
    (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
    if length > most:
        raise TooLarge(f"a message of {length} bytes")
    return await reader.readexactly(length)
