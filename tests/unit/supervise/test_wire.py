from __future__ import annotations

import hypothesis.strategies as st
import msgspec
import pytest
from hypothesis import given

from tandem.supervise.wire import (
    MAX_FRAME,
    AnyRequest,
    Exec,
    Fork,
    Frames,
    SignalUnit,
    SpawnUnit,
    encode_frame,
)


@given(messages=st.lists(st.binary(max_size=300)), cuts=st.lists(st.integers(1, 50)))
def test_frames_survive_any_cutting(messages: list[bytes], cuts: list[int]) -> None:
    """However the stream is cut into reads, the same messages come out in order."""
    stream = b"".join(encode_frame(message) for message in messages)
    frames, found, at = Frames(), [], 0
    for cut in [*cuts, len(stream) + 1]:
        found += [msgspec.msgpack.decode(frame) for frame in frames.feed(stream[at : at + cut])]
        at += cut
    found += [msgspec.msgpack.decode(frame) for frame in frames.feed(stream[at:])]
    assert found == messages


def test_an_oversized_frame_is_refused_on_both_sides() -> None:
    """Neither is it sent, nor is a buffer made for one that is announced."""
    with pytest.raises(ValueError, match="at most"):
        encode_frame(b"x" * (MAX_FRAME + 1))
    with pytest.raises(ValueError, match="at most"):
        list(Frames().feed((MAX_FRAME + 1).to_bytes(4, "big")))


@pytest.mark.parametrize("launch", [Exec(argv=["x"]), Fork(zygote="z", entry="m:f", payload=b"p")])
def test_requests_travel_as_themselves(launch: Exec | Fork) -> None:
    """A request decodes to an equal one of its own class, nested choices included."""
    for request in (
        SpawnUnit(name="A", instance="i", kind="agent", launch=launch),
        SignalUnit(instance="i", signal=9, seq=4),
    ):
        data = msgspec.msgpack.encode(request)
        assert msgspec.msgpack.decode(data, type=AnyRequest) == request
