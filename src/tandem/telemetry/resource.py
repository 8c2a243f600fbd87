"""Whose telemetry this is.

One process is one agent, so the process-wide default is all that production needs; the context variable
lets a test run several agents on one loop and still tell their spans and log lines apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from msgspec import Struct


class Resource(Struct, frozen=True):
    """An agent's name (without machine) and its machine's name; empty when unknown."""

    agent: str = ""
    machine: str = ""


_scoped: ContextVar[Resource | None] = ContextVar("tandem_resource", default=None)
_process = Resource()


def set_process_resource(resource: Resource) -> None:
    """Name the agent this process is."""
    global _process
    _process = resource


def current_resource() -> Resource:
    """The resource of the running task, else the process's."""
    return _scoped.get() or _process


@contextmanager
def resource_scope(resource: Resource) -> Iterator[None]:
    """Make ``resource`` the current one within the block and in tasks started there."""
    token = _scoped.set(resource)
    try:
        yield
    finally:
        _scoped.reset(token)
