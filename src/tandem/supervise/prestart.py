"""A keeper begun before anybody knows what for: handed over to ``tandem up``, or let go."""

from __future__ import annotations

from tandem.supervise.keeper_start import KeeperStart

_begun: list[KeeperStart] = []


def begin() -> None:
    """Start a keeper process now; it imports while we do."""
    _begun.append(KeeperStart.begin())


def take() -> KeeperStart:
    """The keeper begun, or a new one."""
    return _begun.pop() if _begun else KeeperStart.begin()


def let_go() -> None:
    """End what nobody took."""
    while _begun:
        _begun.pop().abandon()
