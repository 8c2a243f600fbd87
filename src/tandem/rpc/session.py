"""The callee's side of one connection: HELLO, admission, dispatch, cancellation."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextvars import Context
from enum import Enum, auto
from typing import TYPE_CHECKING

import msgspec

from tandem.core import clock
from tandem.core.errors import (
    Cancelled,
    DeadlineExceeded,
    InvalidArguments,
    Overloaded,
    PermissionDenied,
    RemoteError,
    TandemError,
    UnknownAction,
)
from tandem.rpc.calls import Call, StreamCall, draining
from tandem.rpc.channel import Alarm, Channel
from tandem.rpc.envelope import (
    CONNECTION,
    UNREADABLE,
    Bye,
    Cancel,
    Credit,
    Drain,
    Frame,
    Hello,
    Ping,
    Pong,
    Request,
    Welcome,
    choose_version,
    decode,
    encode,
    encode_failure,
    same_service,
)
from tandem.rpc.handlers import Decoded
from tandem.rpc.interfaces import Limits, Observer
from tandem.rpc.remembered import CallKey, CallMemory, Known
from tandem.security.model import Principal

if TYPE_CHECKING:
    from collections.abc import Collection

DELEGATE_SCOPE = "delegate"
"""A principal with this scope may make calls on behalf of another, as doors do for their users."""

Authenticate = Callable[[str], Principal]
Permit = Callable[[Principal, str], None]
"""Raises ``PermissionDenied`` when that principal may not call that action."""


class Shared(msgspec.Struct, kw_only=True):
    """What all sessions of one server have in common."""

    service: str
    instance: str
    actions: Mapping[str, Decoded]
    authenticate: Authenticate | None
    local: Callable[[int], Principal] | None
    permit: Permit | None
    observer: Observer
    limits: Limits
    memory: CallMemory
    context: Context
    accepting: bool = True
    in_flight: int = 0


class Stage(Enum):
    """How far a caller's connection is."""

    GREETING = auto()
    OPEN = auto()
    LEAVING = auto()
    """Frames are ignored; the connection ends when the last call has been answered."""
    LOST = auto()


class Session:
    """Receives the frames of one channel; ``gone(session)`` is called when the channel is lost and the
    last of its calls over."""

    def __init__(self, shared: Shared, channel: Channel, gone: Callable[[Session], None]):
        self.loop = asyncio.get_running_loop()
        self.channel = channel
        self.observer = shared.observer
        self.context = shared.context
        self._shared = shared
        self._gone = gone
        self._stage = Stage.GREETING
        self._client = ""
        self._calls: dict[int, Call] = {}
        self._alarm = Alarm(self._expire)
        self._expelled: TandemError = Cancelled("the connection ends")
        self.principal: Principal | None = None
        self._timer = self.loop.call_later(
            shared.limits.hello_s, self._refuse, _silent(shared.limits.hello_s)
        )

    @property
    def connected(self) -> bool:
        return self._stage is not Stage.LOST

    @property
    def in_use(self) -> bool:
        """Whether the caller may still count on this connection, or on a call it made here."""
        return self._stage in (Stage.OPEN, Stage.LEAVING) or bool(self._calls)

    @property
    def calls(self) -> Collection[Call]:
        """Calls in flight."""
        return self._calls.values()

    def frame_received(self, data: bytes | memoryview) -> None:
        try:
            frame: Frame = decode(data)
        except UNREADABLE as error:
            self._refuse(InvalidArguments(f"not a frame of this protocol: {error}"))
            return
        if self._stage is Stage.OPEN:
            self._dispatch(frame)
        elif self._stage is Stage.GREETING:
            self._greet(frame)

    def channel_lost(self, reason: TandemError) -> None:
        self._stage = Stage.LOST
        self._timer.cancel()
        for call in list(self._calls.values()):
            # What must not run twice runs on: its caller comes back for the answer under the same id.
            if call.action.handler.stream or call.action.handler.idempotent:
                call.stop(Cancelled(f"the caller went away: {reason.message}"))
        self._leave_if_over()

    def retire(self) -> None:
        """Ask the caller to make its next calls on another connection."""
        if self._stage is Stage.OPEN:
            self.channel.send(encode(Drain()))

    def drain(self) -> None:
        """Ask the caller to go elsewhere, and end the streams that have no end of their own."""
        self.retire()
        for call in list(self._calls.values()):
            if call.deadline is None:
                call.stop(draining(self._shared.service))

    def expel(self, reason: TandemError) -> None:
        """End every running call with ``reason``, and then the connection."""
        self._stage = Stage.LEAVING
        self._expelled = reason
        self.stop_calls(reason)
        self._leave_if_over()

    def stop_calls(self, reason: TandemError) -> None:
        """End every running call with ``reason``."""
        for call in list(self._calls.values()):
            call.stop(reason)

    def close(self) -> None:
        """Say goodbye and end the connection."""
        if self._stage is not Stage.LOST:
            self.channel.send(encode(Bye()))
            self.channel.close()

    def _greet(self, frame: Frame) -> None:
        if not isinstance(frame, Hello):
            self._refuse(InvalidArguments("the first frame must be HELLO"))
            return
        shared = self._shared
        version = choose_version(frame)
        if version is None:
            spoken = f"{frame.oldest} to {frame.newest}"
            self._refuse(InvalidArguments(f"no common protocol version: the caller speaks {spoken}"))
            return
        if not same_service(frame.service, shared.service):
            self._refuse(PermissionDenied(f"this is {shared.service}, not {frame.service}"))
            return
        if not shared.accepting:
            self._refuse(draining(shared.service))
            return
        try:
            self.principal = self._identify(frame.token)
        except TandemError as error:
            if isinstance(error, PermissionDenied):
                shared.observer.on_denied(self.channel.identity, "HELLO", error)
            self._refuse(error)
            return
        self._client = frame.client
        self._stage = Stage.OPEN
        self._timer.cancel()
        self._timer = self.loop.call_later(shared.limits.connection_age_s, self.retire)
        self.channel.send(encode(Welcome(version, shared.service, shared.instance)))

    def _identify(self, token: str) -> Principal | None:
        shared = self._shared
        if shared.local is not None and not token and self.channel.uid is not None:
            return shared.local(self.channel.uid)
        if shared.authenticate is None:
            return None
        try:
            principal = shared.authenticate(token)
        except TandemError:
            raise
        except Exception as error:
            shared.observer.on_unhandled_error("HELLO", error)
            raise PermissionDenied("the caller's token could not be checked") from error
        proven = self.channel.identity
        if proven and proven != principal.name:
            raise PermissionDenied(f"the connection's key belongs to {proven}, the token to {principal.name}")
        return principal

    def _refuse(self, error: TandemError) -> None:
        self.channel.send(encode_failure(CONNECTION, error, refused=True))
        self.channel.close()

    def _dispatch(self, frame: Frame) -> None:
        kind = type(frame)
        if kind is Request:
            self._request(frame)  # type: ignore[arg-type]
        elif kind is Credit:
            self._credit(frame)  # type: ignore[arg-type]
        elif kind is Cancel:
            call = self._calls.get(frame.id)  # type: ignore[union-attr]
            if call is not None:
                call.stop(Cancelled("withdrawn by the caller"))
        elif kind is Ping:
            self.channel.send(encode(Pong(frame.number)))  # type: ignore[union-attr]
        elif kind is Bye:
            self.channel.close()
        elif kind is not Pong:
            self._refuse(InvalidArguments(f"unexpected {kind.__name__} frame"))

    def _request(self, request: Request) -> None:
        try:
            action = self._action_of(request)
            once = not (action.handler.idempotent or action.handler.stream)
            # Before admission: a duplicate of a call that ran must not be told that it was refused.
            if once and self._remembered(request):
                return
            self._admit(request)
            args = action.decode(request.args)
            principal = self._principal_of(request)
            self._permit(principal, request.action)
        except TandemError as refusal:
            self.channel.send(encode_failure(request.id, refusal, refused=True))
            return
        answer = self._answer_once(request.id) if once else self.channel.send
        self._start(request, action, args, principal, answer)

    def _action_of(self, request: Request) -> Decoded:
        action = self._shared.actions.get(request.action)
        if action is None:
            raise UnknownAction(f"{self._shared.service} has no action {request.action!r}")
        if action.handler.stream != (request.credit > 0):
            kind = "a stream" if action.handler.stream else "a call"
            raise InvalidArguments(f"{request.action} is {kind}")
        return action

    def _permit(self, caller: Principal | None, action: str) -> None:
        shared = self._shared
        if shared.permit is None or caller is None:
            return
        try:
            shared.permit(caller, action)
        except PermissionDenied as error:
            shared.observer.on_denied(caller.name, action, error)
            raise

    def _admit(self, request: Request) -> None:
        shared = self._shared
        if not shared.accepting:
            raise draining(shared.service)
        limits = shared.limits
        if shared.in_flight >= limits.in_flight or len(self._calls) >= limits.in_flight_per_connection:
            raise Overloaded(
                f"{shared.service} already works on {shared.in_flight} calls, {len(self._calls)} of this caller"
            )
        if request.credit > limits.max_credit:
            raise Overloaded(f"a stream gets at most {limits.max_credit} items of credit")
        if request.id in self._calls:
            raise InvalidArguments(f"call id {request.id} is in use on this connection")

    def _principal_of(self, request: Request) -> Principal | None:
        own = self.principal
        if request.principal is None or own is None:
            return own
        if DELEGATE_SCOPE not in own.scopes:
            error = PermissionDenied(f"{own.name} may not call on behalf of {request.principal.name}")
            self._shared.observer.on_denied(own.name, request.action, error)
            raise error
        return request.principal

    def _remembered(self, request: Request) -> bool:
        """Whether the call was begun before; if so its answer is on its way."""
        known = self._shared.memory.look_up(self._key(request.id), self.channel.send, clock.monotonic())
        if known is Known.FORGOTTEN:
            error = RemoteError(
                f"{request.action} ran, but its result is no longer remembered",
                details={"type": "ResultForgotten"},
            )
            self.channel.send(encode_failure(request.id, error))
        return known is not Known.NEW

    def _answer_once(self, call: int) -> Callable[[bytes], None]:
        """Begin remembering ``call``; the answer is kept as well as sent."""
        memory, key, channel = self._shared.memory, self._key(call), self.channel

        def answer(frame: bytes) -> None:
            memory.finish(key, frame, clock.monotonic())
            channel.send(frame)

        memory.begin(key, clock.monotonic())
        return answer

    def _key(self, call: int) -> CallKey:
        return (self.principal.name if self.principal else "", self._client, call)

    def _start(
        self,
        request: Request,
        action: Decoded,
        args: msgspec.Struct,
        principal: Principal | None,
        answer: Callable[[bytes], None],
    ) -> None:
        shared = self._shared
        shared.in_flight += 1
        kind = StreamCall if request.credit else Call
        call = kind(self, request, action, args, principal, answer)
        self._calls[request.id] = call
        if call.deadline is not None:
            self._alarm.set(call.deadline.at)

    def call_over(self, call: Call) -> None:
        """See :class:`tandem.rpc.calls.Owner`."""
        self._shared.in_flight -= 1
        del self._calls[call.id]
        if self._stage is not Stage.OPEN:
            self._leave_if_over()

    def _leave_if_over(self) -> None:
        if self._calls:
            return
        if self._stage is Stage.LOST:
            self._alarm.cancel()
            self._gone(self)
        elif self._stage is Stage.LEAVING:
            self._refuse(self._expelled)

    def _credit(self, frame: Credit) -> None:
        call = self._calls.get(frame.id)
        if not isinstance(call, StreamCall) or frame.amount <= 0:
            return
        if call.credit + frame.amount > self._shared.limits.max_credit:
            call.stop(Overloaded("more stream credit than this server allows"))
        else:
            call.grant(frame.amount)

    def _expire(self, now: float) -> float | None:
        """Stop calls whose time is up; returns the next deadline."""
        following: float | None = None
        for call in list(self._calls.values()):
            at = call.deadline.at if call.deadline is not None else None
            if at is None:
                continue
            if at <= now:
                call.stop(DeadlineExceeded(f"{call.action.handler.name} ran out of time"))
            elif following is None or at < following:
                following = at
        return following


def _silent(seconds: float) -> TandemError:
    return PermissionDenied(f"no HELLO within {seconds:g} s")
