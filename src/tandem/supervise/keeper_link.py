"""The node's line to its keeper."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from tandem.core.errors import Unreachable
from tandem.supervise.wire import (
    AnyReply,
    AnyRequest,
    AskBeats,
    Attach,
    Beats,
    Frames,
    List,
    Listing,
    encode_frame,
)

_decode = msgspec.msgpack.Decoder(AnyReply).decode
_READ = 256 * 1024
T = TypeVar("T", Listing, Beats)


class KeeperLink:
    """One connection. Events go to ``on_event`` in the order the keeper sent them."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter):
        self._reader = reader
        self._writer = writer
        self._seq = itertools.count(1)
        self._replies: dict[int, asyncio.Future[AnyReply]] = {}
        self._on_event: Callable[[AnyReply], None] = _ignore
        self._closed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._listener = asyncio.create_task(self._read(), name="keeper-link")

    @classmethod
    async def connect(cls, path: Path) -> KeeperLink:
        """Raises :class:`Unreachable` when nobody listens there."""
        try:
            reader, writer = await asyncio.open_unix_connection(path)
        except OSError as error:
            raise Unreachable(f"no keeper at {path}: {error.strerror or error}") from error
        return cls(reader, writer)

    def listen(self, on_event: Callable[[AnyReply], None]) -> None:
        """Hand events to ``on_event`` from now on."""
        self._on_event = on_event

    def send(self, request: AnyRequest) -> None:
        """Say something that wants no answer. Nothing happens when the keeper is gone; see :meth:`closed`."""
        if not self._writer.is_closing():
            self._writer.write(encode_frame(request))

    async def attach(self) -> Listing:
        """Hear every event from now on; the picture at this moment."""
        return await self._ask(Attach(), Listing)

    async def list(self) -> Listing:
        return await self._ask(List(), Listing)

    async def beats(self) -> Beats:
        return await self._ask(AskBeats(), Beats)

    async def closed(self) -> None:
        """Return when the keeper is gone."""
        await asyncio.shield(self._closed)

    def close(self) -> None:
        self._writer.close()
        self._listener.cancel()

    async def _ask(self, request: AnyRequest, answer: type[T]) -> T:
        seq = next(self._seq)
        future: asyncio.Future[AnyReply] = asyncio.get_running_loop().create_future()
        self._replies[seq] = future
        self.send(replace(request, seq=seq))
        try:
            reply = await future
        finally:
            self._replies.pop(seq, None)
        assert isinstance(reply, answer)
        return reply

    async def _read(self) -> None:
        frames = Frames()
        try:
            while data := await self._reader.read(_READ):
                for frame in frames.feed(data):
                    self._take(_decode(frame))
        except OSError:
            pass  # the same as its end
        finally:
            for future in self._replies.values():
                if not future.done():
                    future.set_exception(Unreachable("the keeper is gone"))
            if not self._closed.done():
                self._closed.set_result(None)

    def _take(self, message: AnyReply) -> None:
        if isinstance(message, Listing | Beats):
            future = self._replies.get(message.seq)
            if future is not None and not future.done():
                future.set_result(message)
            return
        self._on_event(message)


def _ignore(_message: AnyReply) -> None:
    """Events before anybody listens are in the listing."""
