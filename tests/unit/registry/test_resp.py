from __future__ import annotations

import hypothesis.strategies as st
import pytest
from hypothesis import given

from tandem.registry.resp import Incomplete, Refused, encode, parse

answers = st.recursive(
    st.none() | st.integers(-(2**63), 2**63 - 1) | st.binary(max_size=50), lambda inner: st.lists(inner, max_size=4)
)


def rendered(answer: object) -> bytes:
    """An answer as a server writes it."""
    if answer is None:
        return b"$-1\r\n"
    if isinstance(answer, int):
        return b":%d\r\n" % answer
    if isinstance(answer, bytes):
        return b"$%d\r\n%b\r\n" % (len(answer), answer)
    assert isinstance(answer, list)
    return b"*%d\r\n" % len(answer) + b"".join(map(rendered, answer))


@given(found=st.lists(answers, min_size=1, max_size=3))
def test_answers_are_read_one_after_the_other(found: list[object]) -> None:
    """Whatever a server may answer comes back, and parsing goes on where it ended."""
    stream, at = b"".join(map(rendered, found)), 0
    for answer in found:
        got, at = parse(stream, at)
        assert got == answer
    assert at == len(stream)


@given(answer=answers, data=st.data())
def test_a_part_of_an_answer_is_no_answer(answer: object, data: st.DataObject) -> None:
    """However an answer is cut, its beginning asks for more."""
    whole = rendered(answer)
    with pytest.raises(Incomplete):
        parse(whole[: data.draw(st.integers(0, len(whole) - 1))], 0)


def test_an_error_is_an_answer() -> None:
    """A refusal has the server's words, and the next answer follows it."""
    refused, at = parse(b"-NOPERM no\r\n+OK\r\n", 0)
    assert isinstance(refused, Refused) and str(refused) == "NOPERM no"
    assert parse(b"-NOPERM no\r\n+OK\r\n", at)[0] == b"OK"


@pytest.mark.parametrize("nonsense", [b"HTTP/1.1 200 OK\r\n", b":x\r\n", b"$y\r\n"])
def test_what_is_no_resp_is_told_apart(nonsense: bytes) -> None:
    """Another protocol on the socket is an error, not a wait."""
    with pytest.raises(ValueError, match=r"begins with|invalid literal"):
        parse(nonsense, 0)


def test_words_of_every_kind_are_counted_in_bytes() -> None:
    """Text, bytes and numbers become bulk strings whose length is that of their bytes."""
    assert encode(("SET", "ä", b"\x00\r\n", 7)) == b"*4\r\n$3\r\nSET\r\n$2\r\n\xc3\xa4\r\n$3\r\n\x00\r\n\r\n$1\r\n7\r\n"
