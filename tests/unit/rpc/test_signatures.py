"""From signatures to arguments, on both ends."""

from __future__ import annotations

import gc
import weakref
from collections.abc import AsyncIterator
from typing import Any, Protocol

import msgspec
import pytest
from msgspec import Raw, Struct

from tandem.core.errors import ConfigError, InvalidArguments, RemoteError
from tandem.rpc import call_signature, handler_of, handlers_from
from tandem.rpc.handlers import prepare
from tandem.rpc.signatures import shape_of


class Point(Struct):
    x: int
    y: int = 0


class Contract(Protocol):
    async def move(self, to: Point, speed: float = 1.0, *, label: str = "") -> list[Point]: ...
    def positions(self, every: int = 1) -> AsyncIterator[Point]: ...


class Service:
    async def move(self, to: Point, speed: float = 1.0, *, label: str = "") -> list[Point]:
        """Go there."""
        return [to, Point(int(speed), len(label))]

    async def positions(self, every: int = 1) -> AsyncIterator[Point]:
        yield Point(every)

    async def nothing(self) -> None:
        """Takes and gives nothing."""

    async def loose(self, anything, words: list[str] = ["a"]) -> Any:  # type: ignore[no-untyped-def]  # noqa: B006
        words.append("x")
        return anything

    def plain(self) -> int:
        return 1

    async def variadic(self, *args: int) -> None: ...

    async def unresolved(self, x: Nowhere) -> None: ...  # type: ignore[name-defined]  # noqa: F821

    async def unmarked(self):  # type: ignore[no-untyped-def]
        yield 1

    async def wrapped(self) -> AsyncIterator[int]: ...


def encoded(value: Any) -> Raw:
    return Raw(msgspec.msgpack.encode(value))


def test_contract_and_service_have_the_same_shape() -> None:
    """A Protocol's method and the method that implements it give equal argument fields and results."""
    ours, theirs = shape_of(Contract.move), shape_of(Service().move)
    assert ours.arguments.__struct_fields__ == theirs.arguments.__struct_fields__ == ("to", "speed", "label")
    assert ours.result == theirs.result == list[Point]
    assert (ours.stream, ours.positional) == (theirs.stream, theirs.positional) == (False, 2)
    assert shape_of(Contract.positions).stream and shape_of(Service().positions).stream
    assert shape_of(Contract.positions).result is Point


def test_defaults_stay_off_the_wire() -> None:
    """Only what differs from its default travels."""
    signature = call_signature(Contract.move)
    assert msgspec.msgpack.encode(signature.bind((Point(1, 2),), {})) == msgspec.msgpack.encode(
        {"to": Point(1, 2)}
    )
    bound = signature.bind((Point(1, 2), 2.0), {"label": "x"})
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(bound)) == {
        "to": {"x": 1, "y": 2},
        "speed": 2.0,
        "label": "x",
    }


@pytest.mark.parametrize(
    ("args", "kwargs", "says"),
    [
        ((), {}, "to"),
        ((Point(1),), {"sped": 1}, "sped"),
        ((Point(1),), {"to": Point(1)}, "to"),
        ((Point(1), 1.0, "x", 4), {}, "positional"),
    ],
)
def test_arguments_that_do_not_fit_are_named(
    args: tuple[Any, ...], kwargs: dict[str, Any], says: str
) -> None:
    """Missing, unknown, doubled and surplus arguments are refused before anything is sent."""
    with pytest.raises(InvalidArguments, match=says):
        call_signature(Contract.move).bind(args, kwargs)


def test_result_is_decoded_to_its_type_or_blamed() -> None:
    """The caller gets the declared type, or a RemoteError naming the action."""
    signature = call_signature(Contract.move)
    assert signature.decode(encoded([{"x": 1}])) == [Point(1)]
    with pytest.raises(RemoteError, match="move"):
        signature.decode(encoded([{"x": "one"}]))


def test_call_signature_is_made_once() -> None:
    """The same method gives the same object, so a proxy costs nothing to remake."""
    assert call_signature(Contract.move) is call_signature(Contract.move)
    assert call_signature(Contract.move, "other").action == "other"


async def test_handler_passes_arguments_as_the_method_takes_them() -> None:
    """Positional, keyword-only and defaulted arguments arrive where they belong."""
    action = prepare(handler_of(Service().move))
    args = action.decode(encoded({"to": {"x": 3}, "label": "abc"}))
    assert await action.begin(args) == [Point(3), Point(1, 3)]


async def test_handler_without_arguments() -> None:
    """An action that takes nothing is called with nothing."""
    action = prepare(handler_of(Service().nothing))
    assert await action.begin(action.decode(encoded({}))) is None


async def test_mutable_default_is_not_shared_between_calls() -> None:
    """Each call gets its own copy of a mutable default, and an unannotated argument takes anything."""
    action = prepare(handler_of(Service().loose))
    first = action.decode(encoded({"anything": [1]}))
    await action.begin(first)
    second = action.decode(encoded({"anything": None}))
    assert msgspec.structs.astuple(second) == (None, ["a"])


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"to": {"x": 1}, "speed": "fast"}, "`speed`: expected `float`"),
        ({"to": {"x": 1.5}}, "`to.x`: expected `int`"),
        ({"to": {"x": 1}, "colour": 1}, "unknown field `colour`"),
        ({}, "required field `to`"),
        ([], "map of names"),
        (None, "map of names"),
    ],
)
def test_server_refuses_bad_arguments_by_name(args: Any, says: str) -> None:
    """What does not fit the signature is refused with the argument's name."""
    with pytest.raises(InvalidArguments, match=says):
        prepare(handler_of(Service().move)).decode(encoded(args))


@pytest.mark.parametrize("name", ["plain", "variadic", "unresolved", "unmarked", "wrapped"])
def test_signatures_that_cannot_travel_are_configuration_errors(name: str) -> None:
    """They are found when the agent is built, not when it is called."""
    with pytest.raises(ConfigError):
        handlers_from(Service(), {name: False})


def test_handlers_carry_what_describe_needs() -> None:
    """Name, documentation, idempotence and kind come from the method and its mark."""
    handlers = handlers_from(Service(), {"move": True, "positions": False})
    assert handlers["move"].doc == "Go there."
    assert (handlers["move"].idempotent, handlers["move"].stream) == (True, False)
    assert (handlers["positions"].idempotent, handlers["positions"].stream) == (False, True)


def test_caches_do_not_keep_an_agent_alive() -> None:
    """The cached shape belongs to the function, not to the object it was bound to."""
    service = Service()
    handlers_from(service, {"move": False})
    gone = weakref.ref(service)
    del service
    gc.collect()
    assert gone() is None
