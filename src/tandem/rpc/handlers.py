"""What a server answers: actions with typed arguments and results."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw, Struct
from msgspec.msgpack import Decoder

from tandem.core.errors import ConfigError, InvalidArguments
from tandem.rpc.envelope import UNREADABLE, is_argument_map
from tandem.rpc.signatures import shape_of


class Handler(Struct, frozen=True, kw_only=True):
    """One action.

    ``call`` takes the arguments as its own signature says and returns an awaitable, or for ``stream`` an async
    iterator of ``result``. ``idempotent`` actions may run twice for one call; others are protected by the call ids
    the server remembers. ``positional`` leading fields of ``args`` are passed by position, the rest by keyword.
    """

    name: str
    args: type[Struct]
    result: Any
    call: Callable[..., Any]
    stream: bool = False
    idempotent: bool = False
    positional: int = 0
    doc: str = ""

    def bind(self) -> Callable[[Struct], Any]:
        """``call``, taking the argument Struct."""
        call, fields = self.call, self.args.__struct_fields__
        astuple = msgspec.structs.astuple
        if not fields:
            return lambda _args: call()
        if self.positional == len(fields):
            return lambda args: call(*astuple(args))
        count, names = self.positional, fields[self.positional :]

        def mixed(args: Struct) -> Any:
            values = astuple(args)
            return call(*values[:count], **dict(zip(names, values[count:], strict=True)))

        return mixed


class Decoded(Struct, frozen=True):
    """A handler made ready to serve: ``decode(raw) -> args`` and ``begin(args) -> awaitable or async iterator``."""

    handler: Handler
    decode: Callable[[Raw], Struct]
    begin: Callable[[Struct], Any]


def prepare(handler: Handler) -> Decoded:
    """Build the handler's decoder once."""
    decode = Decoder(handler.args).decode

    def checked(raw: Raw) -> Struct:
        try:
            return decode(raw)
        except UNREADABLE as error:
            if not is_argument_map(raw):
                raise InvalidArguments(
                    f"{handler.name}: arguments travel as a map of names to values"
                ) from None
            raise InvalidArguments(f"{handler.name}: {_readable(str(error))}") from None

    return Decoded(handler, checked, handler.bind())


def handler_of(function: Callable[..., Any], *, name: str = "", idempotent: bool = False) -> Handler:
    """A handler with the signature of ``function``, a coroutine function or async generator function.

    Raises :class:`~tandem.core.errors.ConfigError` when that signature cannot travel.
    """
    shape = shape_of(function)
    if not shape.stream and not inspect.iscoroutinefunction(function):
        raise ConfigError(f"{function.__qualname__} cannot be an action", hint="declare it with `async def`")
    return Handler(
        name=name or function.__name__,
        args=shape.arguments,
        result=shape.result,
        call=function,
        stream=shape.stream,
        idempotent=idempotent,
        positional=shape.positional,
        doc=inspect.getdoc(function) or "",
    )


def handlers_from(obj: object, methods: Mapping[str, bool]) -> dict[str, Handler]:
    """Handlers for bound methods of ``obj``; ``methods`` maps each name to whether it is idempotent.

    Raises :class:`~tandem.core.errors.ConfigError` when a signature cannot travel.
    """
    return {
        name: handler_of(getattr(obj, name), name=name, idempotent=idempotent)
        for name, idempotent in methods.items()
    }


def _readable(message: str) -> str:
    """msgspec's words with the argument's name in them, as a person would say it: "`limit`: expected `int`"."""
    text, _, path = message.partition(" - at `$.")
    return f"`{path.rstrip('`')}`: {text[:1].lower()}{text[1:]}" if path else f"{text[:1].lower()}{text[1:]}"
