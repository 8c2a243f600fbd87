"""What a node does when keys change, without servers: who is told, and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tandem.core.errors import Unreachable
from tandem.core.paths import Home, private_dir
from tandem.security import Authority, Guest, Host
from tandem.supervise import guards
from tandem.supervise.guards import Guards

PATIENCE_S = 60.0


class NoServer:
    """A connection that is never there, and a server that turns nobody away."""

    connected = False

    def listen(self, _attend: Callable[..., Awaitable[None]]) -> None:
        """Nobody will ever be told."""

    async def fresh(self) -> list[Any]:
        return []

    def own(self) -> int:
        return 0


class Watched:
    """The guards of mainpc, and what they asked the servers to take over."""

    def __init__(self, home: Home, failures: int = 0):
        self.authority = Authority.open(home)
        self.asked: asyncio.Queue[set[str]] = asyncio.Queue()
        self._failures = failures
        machine, dirs = self.authority.machine("mainpc"), home.machine("mainpc")
        private_dir(dirs.root)
        nobody: Any = NoServer()
        self.guards = Guards(nobody, self.authority, machine, dirs, self._replan, nobody, ["pc2"])

    async def _replan(self, revoked: set[str]) -> None:
        self.asked.put_nowait(revoked)
        if self._failures:
            self._failures -= 1
            raise Unreachable("the server is being restarted")

    async def next(self) -> set[str]:
        async with asyncio.timeout(PATIENCE_S):
            return await self.asked.get()


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NEWCOMERS_S", "AGAIN_S"):
        monkeypatch.setattr(guards, name, 0.01)


def admit(home: Home, guest: Home) -> None:
    host = Host(home, Authority.open(home))
    host.admit(Guest(guest, "pc2", host.invite("pc2")).question())


async def test_a_computer_that_joins_meanwhile_is_let_in(tmp_path: Path) -> None:
    """The servers learn of a machine that is certified while the node runs, and of none that was before."""
    home = Home(tmp_path / "home")
    watched = Watched(home)
    await watched.guards.start()
    admit(home, Home(tmp_path / "guest"))
    assert await watched.next() == set()
    await watched.guards.close()

    later = Watched(home)
    await later.guards.start()
    later.authority.revoke("Talker@mainpc")
    assert await later.next() == {"Talker@mainpc"}
    await later.guards.close()
    assert later.asked.empty()


async def test_servers_that_did_not_take_over_are_asked_again(tmp_path: Path) -> None:
    """Until they do; whose keys were revoked they are told once, since that restarts a linked server."""
    watched = Watched(Home(tmp_path / "home"), failures=3)
    await watched.guards.start()
    watched.authority.revoke("Talker@mainpc")
    assert [await watched.next() for _ in range(4)] == [{"Talker@mainpc"}, set(), set(), set()]
    await watched.guards.close()
