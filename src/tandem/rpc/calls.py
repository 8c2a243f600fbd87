"""One running call on the server: from decoded arguments to the last frame of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, nullcontext
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from tandem.core import clock
from tandem.core.deadline import Deadline, deadline_scope
from tandem.core.errors import Draining, RemoteError, TandemError
from tandem.rpc.channel import Channel, Gate
from tandem.rpc.context import principal_var
from tandem.rpc.envelope import End, encode, encode_failure, encode_item, encode_reply
from tandem.rpc.handlers import Decoded
from tandem.security.model import Principal
from tandem.telemetry import tracing

if TYPE_CHECKING:
    from tandem.rpc.interfaces import Observer

_NOTHING: AbstractContextManager[None] = nullcontext()


class Phase(Enum):
    """A call's life; it moves down this list only."""

    QUEUED = auto()
    RUNNING = auto()
    FINISHED = auto()


class Call:
    """A call in flight. ``answer(frame)`` sends its last frame; ``done(call)`` tells the owner that it is over."""

    __slots__ = (
        "_answer", "_done", "_gate", "_observer", "_phase", "_reason", "_started", "_task", "action",
        "args", "channel", "credit", "deadline", "id", "principal", "traceparent",
    )  # fmt: skip

    def __init__(
        self,
        call: int,
        action: Decoded,
        args: Struct,
        channel: Channel,
        deadline: Deadline | None,
        *,
        answer: Callable[[bytes], None],
        done: Callable[[Call], None],
        observer: Observer,
        principal: Principal | None,
        traceparent: str = "",
        credit: int = 0,
    ):
        self.id = call
        self.action = action
        self.args = args
        self.channel = channel
        self.deadline = deadline
        self.principal = principal
        self.traceparent = traceparent
        self.credit = credit
        self._answer = answer
        self._done = done
        self._observer = observer
        self._phase = Phase.QUEUED
        self._reason: TandemError | None = None
        self._started = clock.monotonic()
        self._gate = Gate()
        self._task = asyncio.get_running_loop().create_task(self._run())

    def stop(self, reason: TandemError) -> None:
        """End the call with ``reason`` as its answer, unless it is over already."""
        if self._phase is Phase.FINISHED or self._reason is not None:
            return
        self._reason = reason
        self._task.cancel()
        if self._phase is Phase.QUEUED:
            # A task cancelled before its first step never enters its coroutine.
            self._finish(encode_failure(self.id, reason), reason)

    def grant(self, amount: int) -> None:
        """The caller has room for ``amount`` more items."""
        self.credit += amount
        self._gate.open()

    async def finished(self) -> None:
        """Return when the call's task has ended."""
        await asyncio.wait((self._task,))

    async def _run(self) -> None:
        self._phase = Phase.RUNNING
        principal_var.set(self.principal)
        try:
            with deadline_scope(self.deadline):
                if self.traceparent:
                    frame = await self._traced()
                else:
                    frame = await self._work()
            error: BaseException | None = None
        except asyncio.CancelledError as cancelled:
            error = self._reason or _unhandled(cancelled)
            frame = encode_failure(self.id, error)
        except TandemError as raised:
            error = raised
            frame = encode_failure(self.id, raised)
        except Exception as raised:
            error = raised
            self._observer.on_unhandled_error(self.action.handler.name, raised)
            frame = encode_failure(self.id, _unhandled(raised))
        self._finish(frame, error)

    async def _traced(self) -> bytes:
        name = self.action.handler.name
        with (
            tracing.remote_context(self.traceparent),
            tracing.span(name, "server", **{"rpc.system": "tandem", "rpc.method": name}),
        ):
            return await self._work()

    async def _work(self) -> bytes:
        if self.action.handler.stream:
            await self._produce(self.action.begin(self.args))
            return encode(End(self.id))
        return encode_reply(self.id, await self.action.begin(self.args))

    async def _produce(self, items: AsyncIterator[Any]) -> None:
        """Send items as the caller grants room for them; the generator is advanced only on demand."""
        channel = self.channel
        try:
            while True:
                while self.credit <= 0:
                    self._gate.close()
                    await self._gate.wait()
                if channel.congested:
                    await channel.wait()
                try:
                    item = await anext(items)
                except StopAsyncIteration:
                    return
                self.credit -= 1
                channel.send(encode_item(self.id, item))
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()

    def _finish(self, frame: bytes, error: BaseException | None) -> None:
        self._phase = Phase.FINISHED
        self._answer(frame)
        self._done(self)
        self._observer.on_server_call(self.action.handler.name, self._started, clock.monotonic(), error)


def _unhandled(error: BaseException) -> RemoteError:
    """What the caller learns of a fault in the callee: its kind and words, never its traceback."""
    kind = type(error).__name__
    return RemoteError(f"{kind}: {error}" if str(error) else kind, details={"type": kind})


def draining(service: str) -> Draining:
    return Draining(f"{service} is stopping", hint="the next instance answers soon")
