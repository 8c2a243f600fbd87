"""Frames and their bytes."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from tandem.core.errors import Overloaded, TandemError, TooLarge, Unavailable, error_from_wire
from tandem.rpc import envelope
from tandem.rpc.envelope import (
    CHUNK_LIMIT,
    CHUNK_OVERHEAD,
    ERROR_LIMIT,
    FRAME_LIMIT,
    OLDEST_VERSION,
    PROTOCOL_VERSION,
    UNREADABLE,
    Bye,
    Cancel,
    Credit,
    Drain,
    End,
    Failure,
    Hello,
    Item,
    Ping,
    Pong,
    Reply,
    Request,
    Welcome,
    choose_version,
    decode,
    encode,
    encode_failure,
    encode_item,
    encode_reply,
    encode_request,
    error_of,
    is_argument_map,
    same_service,
)
from tandem.security import Principal

ids = st.integers(0, 2**63 - 1)
text = st.text(max_size=40)
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | text,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=10,
)
raws = plain.map(lambda value: Raw(msgspec.msgpack.encode(value)))
principals = st.builds(
    Principal, text, st.sampled_from(["agent", "user"]), st.lists(text, max_size=3).map(tuple)
)
frames = st.one_of(
    st.builds(Hello, ids, ids, text, text, text),
    st.builds(Welcome, ids, text, text),
    st.builds(Request, ids, text, raws, ids, ids, text, st.none() | principals),
    st.builds(Reply, ids, raws),
    st.builds(
        Failure, ids, text, text, st.none() | text, st.dictionaries(text, plain, max_size=3), st.booleans()
    ),
    st.builds(Item, ids, raws),
    st.builds(End, ids),
    st.builds(Credit, ids, ids),
    st.builds(Cancel, ids),
    st.builds(Ping, ids),
    st.builds(Pong, ids),
    st.builds(Drain),
    st.builds(Bye),
)
FRAMES = {Hello, Welcome, Request, Reply, Failure, Item, End, Credit, Cancel, Ping, Pong, Drain, Bye}


@given(frames)
def test_every_frame_survives_its_bytes(frame: Any) -> None:
    """Decoding what was encoded gives an equal frame of the same kind."""
    again = decode(encode(frame))
    assert type(again) is type(frame)
    # Raw compares by its bytes' content only when turned into bytes.
    for field in frame.__struct_fields__:
        ours, theirs = getattr(frame, field), getattr(again, field)
        assert (bytes(ours) == bytes(theirs)) if isinstance(ours, Raw) else (ours == theirs)


def is_a_frame_or_unreadable(data: bytes) -> bool:
    try:
        return type(decode(data)) in FRAMES
    except UNREADABLE:
        return True


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_unreadable(data: bytes) -> None:
    """No bytes whatsoever make the decoder raise anything unexpected."""
    assert is_a_frame_or_unreadable(data)


@given(frames, st.integers(0, 60), st.integers(0, 255))
def test_damaged_frames_decode_or_are_unreadable(frame: Any, where: int, byte: int) -> None:
    """A frame with one byte changed is another frame or unreadable, never a crash."""
    data = bytearray(encode(frame))
    data[where % len(data)] = byte
    assert is_a_frame_or_unreadable(bytes(data))


@given(frames, st.lists(plain, max_size=3))
def test_frames_may_grow_at_their_end(frame: Any, added: list[Any]) -> None:
    """A newer build may append elements; an older one reads the frame as before."""
    elements = msgspec.msgpack.decode(encode(frame), type=list[Any])
    grown = msgspec.msgpack.encode(elements + added)
    assert type(decode(grown)) is type(frame)


def test_nesting_without_end_is_unreadable() -> None:
    """A frame nested deeper than the interpreter's stack is refused, not fatal."""
    nested = b"\x93\x04\x01" + b"\x91" * 200_000 + b"\xc0"
    with pytest.raises(UNREADABLE):
        decode(nested)


def test_no_frame_shares_its_tag() -> None:
    """Each kind of frame has a number of its own, which never changes."""
    tags = {
        kind.__name__: kind.__struct_config__.tag
        for kind in vars(envelope).values()
        if isinstance(kind, type)
        and issubclass(kind, msgspec.Struct)
        and kind.__struct_config__.tag is not None
    }
    assert tags == {
        "Hello": 1, "Welcome": 2, "Request": 3, "Reply": 4, "Failure": 5, "Item": 6, "End": 7, "Credit": 8, "Cancel": 9,
        "Ping": 10, "Pong": 11, "Drain": 12, "Bye": 13,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("oldest", "newest", "chosen"),
    [
        (OLDEST_VERSION, PROTOCOL_VERSION, PROTOCOL_VERSION),
        (0, PROTOCOL_VERSION + 3, PROTOCOL_VERSION),
        (PROTOCOL_VERSION + 1, PROTOCOL_VERSION + 2, None),
        (0, OLDEST_VERSION - 1, None),
    ],
)
def test_version_is_the_newest_both_speak(oldest: int, newest: int, chosen: int | None) -> None:
    """The highest version in both ranges, or none."""
    assert choose_version(Hello(oldest, newest, "s", "c")) == chosen


@pytest.mark.parametrize(
    ("wanted", "own", "same"),
    [
        ("A", "A@m", True),
        ("A@m", "A", True),
        ("A@m", "A@m", True),
        ("A@m", "A@n", False),
        ("B", "A@m", False),
        ("A", "AB", False),
    ],
)
def test_service_names_match_with_or_without_machine(wanted: str, own: str, same: bool) -> None:
    """A name without a machine stands for any machine, on either side."""
    assert same_service(wanted, own) is same


def test_request_embeds_its_arguments() -> None:
    """Arguments given as a mapping or as encoded bytes make the same frame."""
    encoded = Raw(msgspec.msgpack.encode({"a": 1}))
    assert encode_request(1, "x", {"a": 1}, 10) == encode_request(1, "x", encoded, 10)


def test_limits_of_replies_and_items() -> None:
    """What fits passes, one byte more is TooLarge."""
    assert len(encode_item(1, bytes(CHUNK_LIMIT))) <= CHUNK_LIMIT + CHUNK_OVERHEAD
    with pytest.raises(TooLarge):
        encode_item(1, bytes(CHUNK_LIMIT + CHUNK_OVERHEAD))
    with pytest.raises(TooLarge):
        encode_reply(1, bytes(FRAME_LIMIT))


def test_error_travels_by_its_code() -> None:
    """Class, words, hint, details and refusal come through."""
    frame = decode(encode_failure(3, Unavailable("no", hint="do", details={"n": 1}), refused=True))
    assert isinstance(frame, Failure) and frame.refused and frame.id == 3
    error = error_of(frame)
    assert type(error) is Unavailable
    assert (error.message, error.hint, error.details) == ("no", "do", {"n": 1})


def test_unknown_code_is_still_an_error() -> None:
    """A code of a newer build becomes the base class."""
    assert type(error_from_wire("of-the-future", "x")) is TandemError


def test_details_that_cannot_travel_become_words() -> None:
    """An error is never lost for its details' sake."""
    frame = decode(encode_failure(1, Overloaded("x", details={"thing": object()})))
    assert isinstance(frame, Failure) and frame.details["thing"].startswith("<object")


def test_huge_error_is_cut() -> None:
    """An ERROR frame stays small however much the error says."""
    frame = encode_failure(
        1, Overloaded("m" * FRAME_LIMIT, hint="h" * FRAME_LIMIT, details={"d": "d" * FRAME_LIMIT})
    )
    assert len(frame) <= ERROR_LIMIT
    failure = decode(frame)
    assert isinstance(failure, Failure) and failure.code == "overloaded"


@pytest.mark.parametrize(
    ("value", "is_map"),
    [({}, True), ({str(n): n for n in range(20)}, True), ([], False), (None, False), ("x", False)],
)
def test_argument_map_is_recognised(value: Any, is_map: bool) -> None:
    """Small and large maps are maps, nothing else is."""
    assert is_argument_map(Raw(msgspec.msgpack.encode(value))) is is_map
    assert not is_argument_map(Raw(b""))
