"""What the platform hands to one agent; the same for a real process and for a test."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import TYPE_CHECKING, Any, Protocol

from tandem.agent.background import Background, Report
from tandem.agent.observing import Observation, not_an_observer

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from tandem.events import Event
    from tandem.registry import Lease


class PeerFactory(Protocol):
    """Makes the objects :meth:`tandem.agent.Agent.peer` returns."""

    def proxy(self, who: type | str, at: str | None) -> Any: ...


@dataclass(slots=True)
class AgentContext:
    """``publish``, ``cache`` and ``directory`` raise the errors their callers on :class:`~tandem.agent.Agent` document."""

    name: str
    machine: str
    instance: str
    state_dir: Path
    log: logging.Logger
    peers: PeerFactory
    background: Background
    publish: Callable[[Event], Awaitable[None]]
    cache: Callable[[], Redis]
    directory: Callable[[], Awaitable[list[Lease]]]
    report: Report
    observe: Callable[[], Observation] = not_an_observer
    side_ports: Mapping[str, int] = field(default_factory=dict)
    """TCP ports the fleet file gives it besides its own, by name; it opens them itself."""
    starting: Callable[[str, float], None] = lambda _text, _seconds: None
    door: Callable[[], socket | None] = lambda: None
    epoch: int = 0
