"""Work every agent would do anew after its fork, done once before it: its results are then shared memory.

Nothing of it is alive when it is done: no event loop, no socket, no thread (the zygote checks), so nothing can be half
alive in a child. Measured on 77 minimal agents it saves about a megabyte each (sum of PSS).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import Any

import msgspec
from msgspec import Struct

from tandem.agent import Agent
from tandem.agent.declare import declarations
from tandem.core.errors import TandemError
from tandem.rpc.signatures import shape_of
from tandem.security import redact
from tandem.supervise.rehearsal import rehearse
from tandem.telemetry import logs

_NOT_FOR_AGENTS = ("tandem.supervise", "tandem.fleet", "tandem.infra")


def warm_up() -> None:
    """Fill the caches of codecs and signatures, then rehearse. Raises nothing an agent would not raise itself."""
    logs.configure("zygote", "", redact=redact)
    for kind in _all_subclasses(Struct):
        if not kind.__module__.startswith(_NOT_FOR_AGENTS):
            _build_codecs(kind)
    for agent in _all_subclasses(Agent):
        _resolve(agent)
    try:
        rehearse()
    except (OSError, TandemError) as error:
        # Agents start all the same, only slower and larger.
        logging.getLogger("tandem.zygote").warning("no rehearsal: %s", error)


def _all_subclasses(base: type) -> Iterator[type[Any]]:
    kinds: list[type[Any]] = base.__subclasses__()
    for kind in kinds:
        yield kind
        yield from _all_subclasses(kind)


def _build_codecs(kind: type[Struct]) -> None:
    """msgspec keeps what it worked out about a type with the type."""
    try:
        msgspec.msgpack.Decoder(kind)
        msgspec.json.Decoder(kind)
    except (TypeError, NameError, AttributeError):
        return  # a base or a generic one that is never decoded as such


def _resolve(agent: type[Agent]) -> None:
    """The signatures of its actions and its settings, which are cached by function and type."""
    for mark in declarations(agent).actions.values():
        shape_of(getattr(agent, mark.method))
