"""From a method's signature to the Struct of its arguments, for both ends of a call."""

from __future__ import annotations

import collections.abc
import copy
import inspect
import typing
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.msgpack import Decoder

from tandem.core.errors import ConfigError, InvalidArguments, RemoteError
from tandem.rpc.envelope import UNREADABLE

_STREAMS = (
    collections.abc.AsyncIterator,
    collections.abc.AsyncGenerator,
    collections.abc.AsyncIterable,
)
_IMMUTABLE = (str, bytes, int, float, bool, type(None), tuple, frozenset)


class Shape(Struct, frozen=True):
    """What a method takes and gives.

    ``positional`` is how many leading fields of ``arguments`` are passed by position, the others by keyword;
    ``result`` the type of the result, or of one item of a stream.
    """

    arguments: type[Struct]
    positional: int
    result: Any
    stream: bool


def shape_of(function: Callable[..., Any]) -> Shape:
    """The shape of a function, bound method, or method of a class or Protocol (whose ``self`` is left out).

    Raises :class:`~tandem.core.errors.ConfigError` when the signature cannot travel: ``*args``, ``**kwargs``, or an
    annotation that cannot be resolved at run time.
    """
    # The cache must hold the plain function, never the object a method is bound to.
    return _shape_of(function.__func__ if inspect.ismethod(function) else function)


@lru_cache(maxsize=4096)
def _shape_of(function: Callable[..., Any]) -> Shape:
    name = function.__qualname__
    hints = _hints(function, name)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    positional = 0
    parameters = list(inspect.signature(function).parameters.values())
    if parameters and parameters[0].name in {"self", "cls"}:
        del parameters[0]
    for parameter in parameters:
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(f"{name} takes *{parameter.name}, which cannot be described to a caller")
        if parameter.kind is not parameter.KEYWORD_ONLY:
            positional += 1
        fields.append(_field(parameter, hints.get(parameter.name, Any)))
    # Defaults stay off the wire, so that a caller which knows one optional argument more can still call an older peer.
    arguments = msgspec.defstruct(
        f"{function.__name__}_arguments",
        fields,
        module=function.__module__,
        forbid_unknown_fields=True,
        omit_defaults=True,
    )
    result, stream = _result(function, hints.get("return", Any), name)
    return Shape(arguments, positional, result, stream)


def _hints(function: Callable[..., Any], name: str) -> dict[str, Any]:
    try:
        return typing.get_type_hints(function, include_extras=True)
    except NameError as error:
        raise ConfigError(
            f"the types of {name} cannot be resolved: {error}",
            hint="import the types of actions at run time, not under TYPE_CHECKING",
        ) from error


def _field(parameter: inspect.Parameter, annotation: Any) -> tuple[str, Any] | tuple[str, Any, Any]:
    default = parameter.default
    if default is parameter.empty:
        return (parameter.name, annotation)
    if isinstance(default, _IMMUTABLE):
        return (parameter.name, annotation, default)
    return (parameter.name, annotation, msgspec.field(default_factory=lambda: copy.copy(default)))


def _result(function: Callable[..., Any], annotation: Any, name: str) -> tuple[Any, bool]:
    origin = typing.get_origin(annotation)
    if annotation in _STREAMS or origin in _STREAMS:
        if inspect.iscoroutinefunction(function):
            raise ConfigError(
                f"{name} is a coroutine that returns a stream", hint="make it an async generator"
            )
        item = typing.get_args(annotation)
        return (item[0] if item else Any), True
    if inspect.isasyncgenfunction(function):
        raise ConfigError(f"{name} yields but is not annotated as AsyncIterator[...]")
    return annotation, False


@lru_cache(maxsize=4096)
def decoder_for(annotation: Any) -> Callable[[Any], Any]:
    """A cached ``bytes -> value`` for a type; raises ``TypeError`` for a type msgspec cannot decode."""
    return Decoder(annotation).decode


class CallSignature:
    """One method of a contract as its caller needs it: arguments in, typed result out.

    Build it once per method (:func:`call_signature` caches) and hand it to ``Peers.invoke`` or ``Peers.iterate``.
    """

    __slots__ = ("_arguments", "_decode", "action", "idempotent", "result", "stream")

    def __init__(self, function: Callable[..., Any], action: str, idempotent: bool = False):
        shape = shape_of(function)
        self.action = action
        self.idempotent = idempotent
        self.stream = shape.stream
        self.result = shape.result
        self._arguments = shape.arguments
        self._decode = decoder_for(shape.result)

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Struct:
        """The arguments as one Struct.

        Raises :class:`~tandem.core.errors.InvalidArguments` naming the one that is missing, unknown or too many.
        """
        try:
            return self._arguments(*args, **kwargs)
        except TypeError as error:
            raise InvalidArguments(f"{self.action}: {_lower(str(error))}") from None

    def decode(self, raw: Raw) -> Any:
        """The result; raises :class:`~tandem.core.errors.RemoteError` when the peer broke the contract."""
        try:
            return self._decode(raw)
        except UNREADABLE as error:
            raise broken_contract(self.action, error) from error


@lru_cache(maxsize=4096)
def call_signature(function: Callable[..., Any], action: str = "", idempotent: bool = False) -> CallSignature:
    """The cached :class:`CallSignature` of a contract's method; ``action`` defaults to the method's own name."""
    return CallSignature(function, action or function.__name__, idempotent)


def broken_contract(action: str, error: Exception) -> RemoteError:
    """The peer's answer does not have the type its contract promises."""
    return RemoteError(
        f"the answer to {action} is not what its contract says: {error}",
        details={"type": type(error).__name__},
    )


def _lower(text: str) -> str:
    return text[:1].lower() + text[1:]
