"""One running call on the server: from decoded arguments to the last frame of its answer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextvars import Context, copy_context
from enum import Enum, auto
from typing import Any, Protocol

from msgspec import Struct

from tandem.core import clock
from tandem.core.deadline import Deadline, deadline_scope, enter_deadline
from tandem.core.errors import Draining, RemoteError, TandemError
from tandem.rpc.channel import Channel, Gate
from tandem.rpc.context import principal_var
from tandem.rpc.envelope import End, Request, encode, encode_failure, encode_item, encode_reply
from tandem.rpc.handlers import Decoded
from tandem.rpc.interfaces import Observer
from tandem.security.model import Principal
from tandem.telemetry import tracing


class Phase(Enum):
    """A call's life; it moves down this list only."""

    QUEUED = auto()
    RUNNING = auto()
    FINISHED = auto()


class Owner(Protocol):
    """The session a call belongs to."""

    channel: Channel
    loop: asyncio.AbstractEventLoop
    observer: Observer
    context: Context

    def call_over(self, call: Call) -> None:
        """The call has sent its last frame."""
        ...


class Call:
    """A call in flight, working in a task of its own. ``answer(frame)`` sends its last frame."""

    __slots__ = (
        "_answer", "_args", "_owner", "_phase", "_reason", "_started", "_task", "_traceparent", "action",
        "deadline", "id", "principal",
    )  # fmt: skip

    def __init__(
        self,
        owner: Owner,
        request: Request,
        action: Decoded,
        args: Struct,
        principal: Principal | None,
        answer: Callable[[bytes], None],
    ):
        self.id = request.id
        self.action = action
        self.principal = principal
        self._owner = owner
        self._args = args
        self._traceparent = request.traceparent
        self._answer = answer
        self._phase = Phase.QUEUED
        self._reason: TandemError | None = None
        self._started = clock.monotonic()
        self.deadline = self._deadline_of(request)
        # A copy of the server's own context: what the caller's connection happened to run in must not leak into calls.
        self._task = owner.loop.create_task(self._run(), context=owner.context.copy())

    def stop(self, reason: TandemError) -> None:
        """End the call with ``reason`` as its answer, unless it is over already."""
        if self._phase is Phase.FINISHED or self._reason is not None:
            return
        self._reason = reason
        self._task.cancel()
        if self._phase is Phase.QUEUED:
            # A task cancelled before its first step never enters its coroutine.
            self._finish(encode_failure(self.id, reason), reason)

    async def finished(self) -> None:
        """Return when the call's task has ended."""
        await asyncio.wait((self._task,))

    def _deadline_of(self, request: Request) -> Deadline | None:
        return Deadline(self._started + request.budget_ms / 1000)

    async def _run(self) -> None:
        self._phase = Phase.RUNNING
        principal_var.set(self.principal)
        enter_deadline(self.deadline)
        name = self.action.handler.name
        parent = tracing.SpanContext.parse(self._traceparent) if self._traceparent else None
        if parent is not None:
            span = tracing.child_context(parent)
            tracing.enter_context(span)
        error: BaseException | None = None
        try:
            frame = await self._work()
        except asyncio.CancelledError as cancelled:
            error = self._reason or _unhandled(cancelled)
            frame = encode_failure(self.id, error)
        except TandemError as raised:
            error, frame = raised, encode_failure(self.id, raised)
        except Exception as raised:
            error, frame = raised, encode_failure(self.id, _unhandled(raised))
            # What is told of it belongs to the caller's span.
            with tracing.remote_context(self._traceparent):
                self._owner.observer.on_unhandled_error(name, raised)
        self._finish(frame, error)
        if parent is not None:
            attributes: dict[str, tracing.Attribute] = {"rpc.system": "tandem", "rpc.method": name}
            tracing.record(name, "server", span, parent.span_id, self._started, error, attributes)

    async def _work(self) -> bytes:
        return encode_reply(self.id, await self.action.begin(self._args))

    def _finish(self, frame: bytes, error: BaseException | None) -> None:
        self._phase = Phase.FINISHED
        self._answer(frame)
        self._owner.call_over(self)
        self._owner.observer.on_server_call(self.action.handler.name, self._started, clock.monotonic(), error)


class StreamCall(Call):
    """A call answered by items, sent as the caller grants room for them."""

    __slots__ = ("_gate", "credit")

    def __init__(
        self,
        owner: Owner,
        request: Request,
        action: Decoded,
        args: Struct,
        principal: Principal | None,
        answer: Callable[[bytes], None],
    ):
        self.credit = request.credit
        self._gate = Gate()
        super().__init__(owner, request, action, args, principal, answer)

    def grant(self, amount: int) -> None:
        """The caller has room for ``amount`` more items."""
        self.credit += amount
        self._gate.open()

    def _deadline_of(self, request: Request) -> Deadline | None:
        # For a stream a budget of 0 means "no end", for a call "nothing left".
        return super()._deadline_of(request) if request.budget_ms else None

    async def _work(self) -> bytes:
        """The generator is advanced only on demand, and closed however the stream ends."""
        items: AsyncIterator[Any] = self.action.begin(self._args)
        channel = self._owner.channel
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
                    return encode(End(self.id))
                self.credit -= 1
                channel.send(encode_item(self.id, item))
        finally:
            close = getattr(items, "aclose", None)
            if close is not None:
                await close()


def base_context() -> Context:
    """A copy of the current context without a call's deadline and span, for calls to start from."""
    with deadline_scope(None), tracing.remote_context(""):
        return copy_context()


def _unhandled(error: BaseException) -> RemoteError:
    """What the caller learns of a fault in the callee: its kind and words, never its traceback."""
    kind = type(error).__name__
    return RemoteError(f"{kind}: {error}" if str(error) else kind, details={"type": kind})


def draining(service: str) -> Draining:
    return Draining(f"{service} is stopping", hint="the next instance answers soon")
