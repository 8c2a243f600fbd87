"""Calls other services by name. Callers never know over which transport."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any

from msgspec import Raw, Struct

from tandem.core import clock
from tandem.core.deadline import Deadline, current_deadline, effective_deadline
from tandem.core.errors import DeadlineExceeded, InvalidArguments, TandemError, TooLarge, Unreachable
from tandem.rpc.breaker import CLOSED, BreakerState
from tandem.rpc.envelope import EMPTY_MAP, FRAME_LIMIT, UNREADABLE, Failure, Reply, encode_request, error_of
from tandem.rpc.interfaces import Observer, Resolver, Silent
from tandem.rpc.link import ConnectionLost, Link, NotSent, Refused
from tandem.rpc.pool import PeerState, Pool, Token
from tandem.rpc.retry import Ran, pause_before_retry
from tandem.rpc.signatures import CallSignature, broken_contract, decoder_for
from tandem.rpc.streams import PREFETCH, Inbox, StreamEnded
from tandem.rpc.transports.memory import MemoryNetwork
from tandem.security.model import CurveKeys, Principal
from tandem.telemetry import tracing

Arguments = Struct | Mapping[str, Any] | Raw
_NO_ARGUMENTS = Raw(EMPTY_MAP)


class Outgoing(Struct):
    """One call on its way through its attempts. ``must_be`` is the only instance that may still be asked, ``refusal``
    how the last attempt ended, which tells more than that time is up."""

    id: int
    action: str
    args: Arguments
    deadline: Deadline
    idempotent: bool
    traceparent: str
    principal: Principal | None
    attempt: int = 0
    must_be: str = ""
    refusal: TandemError | None = None

    def frame(self, credit: int = 0, *, endless: bool = False) -> bytes:
        """The REQUEST with what is left of the budget now."""
        budget = 0 if endless else self.deadline.remaining_ms()
        if budget <= 0 and not endless:
            raise self.refusal or DeadlineExceeded(f"no time left for {self.action}")
        try:
            frame = encode_request(
                self.id, self.action, self.args, budget, credit, self.traceparent, self.principal
            )
        except (TypeError, ValueError, OverflowError) as error:
            raise InvalidArguments(f"{self.action}: {error}") from error
        if len(frame) > FRAME_LIMIT:
            raise TooLarge(
                f"the arguments of {self.action} have {len(frame)} bytes, the limit is {FRAME_LIMIT}"
            )
        return frame


class Peers:
    """The caller's door to every other service of the fleet.

    One pooled connection per peer; a call never outlives its deadline (``timeout`` seconds, the inherited deadline,
    or the default budget, whichever is earliest). Attempts that provably did not run are repeated within the budget,
    as are calls of idempotent actions. Use it from one event loop.

    ``token(audience)`` makes the proof of identity for a HELLO; ``curve`` are our keys for other machines.
    """

    def __init__(
        self,
        resolver: Resolver,
        *,
        token: Token | None = None,
        curve: CurveKeys | None = None,
        observer: Observer | None = None,
        network: MemoryNetwork | None = None,
    ):
        self._pool = Pool(resolver, token=token, curve=curve, observer=observer or Silent(), network=network)
        self._ids = itertools.count(1)

    async def invoke(
        self,
        peer: str,
        signature: CallSignature,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        on_behalf: Principal | None = None,
    ) -> Any:
        """Call a contract's method with its own arguments; returns its declared result.

        Raises the typed errors of :mod:`tandem.core.errors`, whichever side they came from.
        """
        bound = signature.bind(args, kwargs or {})
        raw = await self._call(peer, signature.action, bound, timeout, signature.idempotent, on_behalf)
        return signature.decode(raw)

    async def call(
        self,
        peer: str,
        action: str,
        args: Arguments = _NO_ARGUMENTS,
        *,
        result: Any = Any,
        timeout: float | None = None,
        idempotent: bool = False,
        on_behalf: Principal | None = None,
    ) -> Any:
        """Call an action with named arguments: a Struct, a mapping, or an already encoded msgpack map.

        Returns a value of the type ``result``. Raises as :meth:`invoke`.
        """
        raw = await self._call(peer, action, args, timeout, idempotent, on_behalf)
        return _decoder(action, result)(raw)

    def iterate(
        self,
        peer: str,
        signature: CallSignature,
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        timeout: float | None = None,
        prefetch: int = PREFETCH,
        on_behalf: Principal | None = None,
    ) -> AsyncGenerator[Any, None]:
        """The items of a contract's streaming method; see :meth:`stream`."""
        bound = signature.bind(args, kwargs or {})
        call, endless = self._opening(signature.action, bound, timeout, signature.idempotent, on_behalf)
        return self._items(self._pool.peer(peer), call, signature.decode, prefetch, endless)

    def stream(
        self,
        peer: str,
        action: str,
        args: Arguments = _NO_ARGUMENTS,
        *,
        item: Any = Any,
        timeout: float | None = None,
        idempotent: bool = False,
        prefetch: int = PREFETCH,
        on_behalf: Principal | None = None,
    ) -> AsyncGenerator[Any, None]:
        """The items of a stream, each of the type ``item``. Leaving the loop ends the stream on the other side too.

        ``timeout`` (or the inherited deadline) bounds the whole stream. Without either it may last for ever and only
        its connection is bounded: a lost peer ends it with ``Unreachable``, one that is replaced with ``Draining``.
        At most ``prefetch`` items are on their way to a consumer that is slower than the producer.
        """
        call, endless = self._opening(action, args, timeout, idempotent, on_behalf)
        return self._items(self._pool.peer(peer), call, _decoder(action, item), prefetch, endless)

    async def ping(self, peer: str, timeout: float | None = None) -> float:
        """Seconds for a round trip to the peer's event loop; raises as :meth:`invoke`."""
        deadline = effective_deadline(timeout)
        link = await self._pool.acquire(self._pool.peer(peer), deadline)
        # Not the loop's clock: uvloop's stands still within one turn and counts in milliseconds.
        started = time.perf_counter()
        try:
            async with asyncio.timeout_at(deadline.at):
                await link.ping(next(self._ids))
        except TimeoutError:
            raise DeadlineExceeded(f"{peer} did not answer in time") from None
        return time.perf_counter() - started

    def breaker(self, peer: str) -> BreakerState:
        """The state of the peer's circuit breaker."""
        return self._pool.peer(peer).breaker.state

    def disconnect(self, distrusted: Callable[[str], bool]) -> None:
        """End the connections to every service (``Name@machine``) that ``distrusted`` is true for."""
        self._pool.disconnect(distrusted)

    async def close(self) -> None:
        """End every connection; calls under way fail with ``Unreachable``."""
        await self._pool.close()

    async def _call(
        self,
        peer: str,
        action: str,
        args: Arguments,
        timeout: float | None,
        idempotent: bool,
        principal: Principal | None,
    ) -> Raw:
        deadline = effective_deadline(timeout)
        call = Outgoing(next(self._ids), action, args, deadline, idempotent, "", principal)
        state = self._pool.peer(peer)
        parent = tracing.current_context()
        if parent is None:
            return await self._attempts(state, call)
        span = tracing.child_context(parent)
        call.traceparent = span.traceparent()
        started = clock.monotonic()
        attributes: dict[str, tracing.Attribute] = {"rpc.system": "tandem", "rpc.method": action, "peer": peer}
        try:
            raw = await self._attempts(state, call)
        except BaseException as error:
            tracing.record(action, "client", span, parent.span_id, started, error, attributes)
            raise
        tracing.record(action, "client", span, parent.span_id, started, None, attributes)
        return raw

    async def _attempts(self, peer: PeerState, call: Outgoing) -> Raw:
        """Try until answered, out of time, or not allowed to try again."""
        while True:
            call.attempt += 1
            link = peer.link
            if link is None or peer.breaker is not CLOSED or call.must_be:
                link = await self._link(peer, call)
            try:
                answer = await link.request(call.id, call.frame(), call.deadline.at)
            except ConnectionLost as lost:
                if not call.idempotent:
                    call.must_be = link.instance
                await _pause(lost, Ran.PERHAPS, call)
                continue
            except NotSent as lost:
                await _pause(lost, Ran.NO, call)
                continue
            if type(answer) is Reply:
                return answer.result
            assert isinstance(answer, Failure)
            await _pause(error_of(answer), Ran.NO if answer.refused else Ran.PERHAPS, call)

    async def _link(self, peer: PeerState, call: Outgoing) -> Link:
        """An open link, reconnecting as often as the call allows."""
        while True:
            try:
                link = await self._pool.acquire(peer, call.deadline)
            except DeadlineExceeded as error:
                raise call.refusal or error from None
            except TandemError as error:
                if call.must_be and not isinstance(error, Unreachable):
                    raise _unknown_outcome(peer.name, call) from error
                await _pause(error, Ran.NO, call)
                call.attempt += 1
                continue
            if call.must_be and link.instance != call.must_be:
                raise _unknown_outcome(peer.name, call)
            return link

    def _opening(
        self,
        action: str,
        args: Arguments,
        timeout: float | None,
        idempotent: bool,
        principal: Principal | None,
    ) -> tuple[Outgoing, bool]:
        """A stream to be opened, and whether it has no deadline; then the call's own bounds only the opening."""
        endless = timeout is None and current_deadline() is None
        deadline = effective_deadline(timeout)
        traceparent = tracing.current_traceparent()
        return Outgoing(0, action, args, deadline, idempotent, traceparent, principal), endless

    async def _items(
        self, peer: PeerState, call: Outgoing, decode: Callable[[Raw], Any], prefetch: int, endless: bool
    ) -> AsyncGenerator[Any, None]:
        while True:
            call.attempt += 1
            call.id = next(self._ids)
            link = await self._link(peer, call)
            inbox = Inbox(prefetch)
            timer = None if endless else self._end_at(inbox, call)
            try:
                link.open_stream(call.id, call.frame(prefetch, endless=endless), inbox)
                while True:
                    yield decode(await inbox.get())
                    credit = inbox.earned()
                    if credit:
                        link.grant(call.id, credit)
            except StreamEnded:
                return
            except Refused as refused:
                await _pause(refused.error, Ran.NO, call)
            except ConnectionLost as lost:
                if inbox.answered or not call.idempotent:
                    raise
                await _pause(lost, Ran.PERHAPS, call)
            finally:
                if timer is not None:
                    timer.cancel()
                link.close_stream(call.id)

    @staticmethod
    def _end_at(inbox: Inbox, call: Outgoing) -> asyncio.TimerHandle:
        error = DeadlineExceeded(f"the stream {call.action} ran out of time")
        return asyncio.get_running_loop().call_at(call.deadline.at, inbox.end, error)


def _decoder(action: str, annotation: Any) -> Callable[[Raw], Any]:
    decode = decoder_for(annotation)

    def checked(raw: Raw) -> Any:
        try:
            return decode(raw)
        except UNREADABLE as error:
            raise broken_contract(action, error) from error

    return checked


async def _pause(error: TandemError, ran: Ran, call: Outgoing) -> None:
    """Wait before the next attempt; raises ``error`` when there must be none or no time is left for it."""
    pause = pause_before_retry(error, ran, call.attempt, idempotent=call.idempotent)
    if pause is None or call.deadline.remaining() <= pause:
        raise error
    call.refusal = error
    await asyncio.sleep(pause)


def _unknown_outcome(peer: str, call: Outgoing) -> Unreachable:
    return Unreachable(
        f"{peer} was lost during {call.action}; whether it ran is not known",
        hint="look before repeating it",
        details={"ran": "unknown"},
    )
