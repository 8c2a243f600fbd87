"""A lease: one running instance's expiring claim on its agent's name."""

from __future__ import annotations

from msgspec import Struct, structs

LEASE_TTL_S = 15.0
"""Seconds a lease lives without a refresh; agents refresh every 5 s."""

KEY_PREFIX = "agent:ready:"


class Lease(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where one instance of an agent answers.

    ``unix`` is a socket path valid on its own machine only; ``zmq`` a ``tcp://host:port`` other machines may reach,
    None for an agent nobody calls from there; ``curve_public`` its Z85 key (40 characters, empty without
    encryption); ``time`` is Unix seconds of the last refresh; ``status`` a word of :class:`tandem.core.health.Status`.
    """

    agent: str
    machine: str
    instance: str
    pid: int = 0
    unix: str | None = None
    zmq: str | None = None
    curve_public: str = ""
    release: str = ""
    time: float = 0.0
    status: str = "starting"

    @property
    def name(self) -> str:
        """``Agent@machine``."""
        return f"{self.agent}@{self.machine}"

    def same_as(self, other: Lease | None) -> bool:
        """Whether only the time of the refresh differs."""
        return other is not None and structs.replace(self, time=0.0) == structs.replace(other, time=0.0)


class Change(Struct, frozen=True):
    """``before`` is None for a new lease, ``after`` for one that is gone."""

    before: Lease | None
    after: Lease | None


def own_key(agent: str) -> str:
    """Where an agent's own machine keeps its lease; it expires."""
    return f"{KEY_PREFIX}{agent}"


def mirrored_key(agent: str, machine: str) -> str:
    """Where other machines keep their copy of it; it stays until the mirror removes it."""
    return f"{KEY_PREFIX}{agent}@{machine}"


def cut_key(machine: str) -> str:
    """Set while this machine's node finds ``machine`` out of reach; expires, so that a dead node blocks nobody."""
    return f"link:cut:{machine}"
