"""The frames of the RPC protocol and their bytes.

Each frame is one msgpack array whose first element tells its kind. A connection begins with HELLO from the
caller and WELCOME from the callee; everything after that is multiplexed by call id. Arrays may grow at the
end only, so a frame of a newer build stays readable for an older one within one protocol version.

========  ===================  =======================================================================
kind      direction            meaning
========  ===================  =======================================================================
HELLO     caller -> callee     who calls, with which token, which protocol versions it speaks
WELCOME   callee -> caller     the version chosen, and which running instance answers
REQUEST   caller -> callee     call an action; with ``credit`` above 0 the answer is a stream
REPLY     callee -> caller     the result of a call
ERROR     callee -> caller     a call, or with id 0 the whole connection, failed
ITEM      callee -> caller     one item of a stream; costs one credit
END       callee -> caller     a stream ended well
CREDIT    caller -> callee     room for more items
CANCEL    caller -> callee     nobody waits for this call any more
PING      both                 answered by PONG with the same number
DRAIN     callee -> caller     send new calls elsewhere; running ones are finished
BYE       both                 the connection ends now, for transports that do not tell by themselves
========  ===================  =======================================================================
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw, Struct

from tandem.core.errors import TandemError, TooLarge, error_from_wire
from tandem.security import Principal, concealed

PROTOCOL_VERSION = 1
"""The version this build prefers."""

OLDEST_VERSION = 1
"""The oldest version this build still speaks."""

FRAME_LIMIT = 16 * 1024 * 1024
"""Bytes of the largest frame (design 5.3)."""

CHUNK_LIMIT = 64 * 1024
"""Bytes of payload in one stream item (design 5.3), so that a bulk stream cannot hold up short calls."""

CHUNK_OVERHEAD = 1024
"""Bytes granted on top of :data:`CHUNK_LIMIT` for the envelope and the item's own field names."""

CONNECTION = 0
"""Call id of an ERROR that concerns the connection itself."""


class Hello(Struct, array_like=True, tag=1, gc=False, frozen=True):
    """``service`` is who the caller means to reach; ``client`` names the caller's pool of connections, within
    which call ids are unique for ever."""

    oldest: int
    newest: int
    service: str
    client: str
    token: str = ""


class Welcome(Struct, array_like=True, tag=2, gc=False, frozen=True):
    """``instance`` changes with every start of the callee, and with it all memory of earlier calls is gone."""

    version: int
    service: str
    instance: str


class Request(Struct, array_like=True, tag=3, gc=False):
    """``args`` is a msgpack map of named arguments; ``budget_ms`` what is left of the caller's time, 0 for a stream
    without an end; ``principal`` whom the call is made for, when that is not the connection's own principal."""

    id: int
    action: str
    args: Raw
    budget_ms: int
    credit: int = 0
    traceparent: str = ""
    principal: Principal | None = None


class Reply(Struct, array_like=True, tag=4, gc=False):
    """The result of a call that is not a stream."""

    id: int
    result: Raw


class Failure(Struct, array_like=True, tag=5, gc=False):
    """An ERROR frame. ``refused`` means that the action was never begun, so that any call may be repeated."""

    id: int
    code: str
    message: str
    hint: str | None = None
    details: dict[str, Any] = {}
    refused: bool = False


class Item(Struct, array_like=True, tag=6, gc=False):
    """The next item of a stream; each one uses up one credit."""

    id: int
    value: Raw


class End(Struct, array_like=True, tag=7, gc=False, frozen=True):
    """The stream has given its last item."""

    id: int


class Credit(Struct, array_like=True, tag=8, gc=False, frozen=True):
    """The caller has room for ``amount`` more items."""

    id: int
    amount: int


class Cancel(Struct, array_like=True, tag=9, gc=False, frozen=True):
    """The caller no longer wants the answer."""

    id: int


class Ping(Struct, array_like=True, tag=10, gc=False, frozen=True):
    """Is your event loop alive?"""

    number: int


class Pong(Struct, array_like=True, tag=11, gc=False, frozen=True):
    """It is; ``number`` is the PING's."""

    number: int


class Drain(Struct, array_like=True, tag=12, gc=False, frozen=True):
    """The callee takes no new calls: ask its successor."""


class Bye(Struct, array_like=True, tag=13, gc=False, frozen=True):
    """The connection ends here on purpose."""


Frame = Hello | Welcome | Request | Reply | Failure | Item | End | Credit | Cancel | Ping | Pong | Drain | Bye

_encoder = msgspec.msgpack.Encoder()
encode = _encoder.encode
"""Bytes of a frame; raises ``TypeError`` for a value that msgpack cannot carry."""

decode = msgspec.msgpack.Decoder(Frame).decode
"""A frame from its bytes; arguments, results and items stay undecoded views. Raises :data:`UNREADABLE`."""

UNREADABLE = (msgspec.MsgspecError, ValueError, RecursionError)
"""What decoding bytes from elsewhere may raise: no msgpack, wrong types, broken UTF-8, nested without end."""

ERROR_LIMIT = 64 * 1024
"""Bytes of an ERROR frame; above, its message is cut and its details are left out."""

_MAP_KINDS = frozenset({*range(0x80, 0x90), 0xDE, 0xDF})
EMPTY_MAP = b"\x80"


def encode_request(
    call: int,
    action: str,
    args: Any,
    budget_ms: int,
    credit: int = 0,
    traceparent: str = "",
    principal: Principal | None = None,
) -> bytes:
    """A REQUEST whose ``args`` (Struct, mapping or encoded :class:`Raw`) are written in the same pass."""
    return encode(Request(call, action, args, budget_ms, credit, traceparent, principal))


def encode_reply(call: int, result: Any) -> bytes:
    """A REPLY with the result written in the same pass.

    Raises ``TypeError`` for what msgpack cannot carry and :class:`TooLarge` above :data:`FRAME_LIMIT`.
    """
    return _within(encode(Reply(call, result)), FRAME_LIMIT, "result")


def encode_item(call: int, value: Any) -> bytes:
    """An ITEM; raises ``TypeError`` or, above :data:`CHUNK_LIMIT`, :class:`TooLarge`."""
    return _within(encode(Item(call, value)), CHUNK_LIMIT + CHUNK_OVERHEAD, "stream item")


def encode_failure(call: int, error: TandemError, *, refused: bool = False) -> bytes:
    """An ERROR frame, without this process's secrets; details that msgpack cannot carry travel as their ``repr``."""
    words = concealed(error.message), concealed(error.hint), concealed(error.details)
    failure = Failure(call, error.code, *words, refused)
    try:
        frame = encode(failure)
    except (TypeError, ValueError, OverflowError, RecursionError):
        failure.details = concealed({str(key): repr(value) for key, value in error.details.items()})
        frame = encode(failure)
    if len(frame) > ERROR_LIMIT:
        cut = ERROR_LIMIT // 16
        message, hint = failure.message[:cut] + "…", failure.hint[:cut] if failure.hint else None
        frame = encode(Failure(call, error.code, message, hint, {}, refused))
    return frame


def error_of(failure: Failure) -> TandemError:
    """The exception a caller sees."""
    return error_from_wire(failure.code, failure.message, failure.hint, failure.details)


def is_argument_map(args: Raw) -> bool:
    """Whether ``args`` holds a msgpack map at all."""
    view = memoryview(args)
    return len(view) > 0 and view[0] in _MAP_KINDS


def same_service(wanted: str, own: str) -> bool:
    """Whether a caller that wants ``wanted`` has reached it; a name without a machine matches any machine."""
    name, _, machine = wanted.partition("@")
    own_name, _, own_machine = own.partition("@")
    return name == own_name and (not machine or not own_machine or machine == own_machine)


def choose_version(hello: Hello) -> int | None:
    """The newest version both sides speak; None when there is none."""
    version = min(PROTOCOL_VERSION, hello.newest)
    return version if version >= max(OLDEST_VERSION, hello.oldest) else None


def _within(data: bytes, limit: int, what: str) -> bytes:
    if len(data) > limit:
        raise TooLarge(
            f"{what} has {len(data)} bytes, the limit is {limit}", hint="send it as a stream of chunks"
        )
    return data
