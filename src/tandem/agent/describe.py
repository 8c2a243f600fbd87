"""What an agent offers, as data: the answer of the built-in ``describe`` action."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from tandem.agent.declare import Declarations
from tandem.rpc import Handler


class ActionDescription(Struct, frozen=True):
    """``arguments`` and ``result`` are JSON Schemas; a stream's ``result`` is the schema of one item."""

    name: str
    summary: str
    arguments: dict[str, Any]
    result: dict[str, Any]
    stream: bool
    idempotent: bool


class Description(Struct, frozen=True, kw_only=True):
    """One agent instance: who it is, what it answers, which event topics it follows, its timers' periods in seconds."""

    agent: str
    machine: str
    instance: str
    purpose: str
    actions: list[ActionDescription]
    events: list[str]
    timers: dict[str, float]


def describe_actions(handlers: Mapping[str, Handler]) -> list[ActionDescription]:
    """The actions in order of their names."""
    return [
        ActionDescription(
            name=name,
            summary=handler.doc.partition("\n")[0],
            arguments=_schema(handler.args),
            result=_schema(handler.result),
            stream=handler.stream,
            idempotent=handler.idempotent,
        )
        for name, handler in sorted(handlers.items())
    ]


def topics(declared: Declarations) -> list[str]:
    return sorted(mark.event.topic for _, mark in declared.subscriptions)


def timers(declared: Declarations) -> dict[str, float]:
    return {name: mark.period_s for name, mark in declared.timers}


def first_line(thing: object) -> str:
    """The first line of a docstring; empty without one."""
    return (inspect.getdoc(thing) or "").partition("\n")[0]


def _schema(annotation: Any) -> dict[str, Any]:
    try:
        return msgspec.json.schema(annotation)
    except TypeError:
        # Types msgspec carries but has no schema for, such as Any in older releases.
        return {}
