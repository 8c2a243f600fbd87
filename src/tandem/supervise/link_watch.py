"""Whether the other machines are there: heartbeats between nodes, and who needs to know when they stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.tasks import end
from tandem.events import Connection
from tandem.registry import Registry
from tandem.supervise.api import LinkView
from tandem.supervise.link_state import BEAT_S, SKEW_S, Beat, LinkState, PeerLink
from tandem.supervise.made_of import MadeOf
from tandem.supervise.vouching import Vouching

log = logging.getLogger("tandem.node")

LOOK_S = 0.25
FIND_S = 0.8
"""Seconds a machine in doubt gets to take a connection; with the doubt after 3 s a cut is known within 4."""
DOORS_TRIED = 3
MARK_TTL_S = 5.0
"""How long the mark of a cut link outlives this node."""

_decoder = msgspec.msgpack.Decoder(Beat)


class LinkWatch:
    """Beats for ``machine``, listens to ``peers``, and marks in the registry those that are out of reach.

    ``changed`` is called after every change of a link's state, ``made`` with every beat; they must not raise.
    """

    def __init__(
        self,
        connection: Connection,
        registry: Registry,
        machine: str,
        peers: Iterable[str],
        vouching: Vouching,
        changed: Callable[[], None] = lambda: None,
        made: Callable[[], MadeOf] = MadeOf,
    ):
        self._connection = connection
        self._registry = registry
        self._machine = machine
        self._links = {peer: PeerLink(machine, clock.monotonic()) for peer in peers}
        self._vouching = vouching
        self._distrusted: set[str] = set()
        self._changed = changed
        self._made = made
        self._finding: dict[str, asyncio.Task[None]] = {}
        self._told_skewed: set[str] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        if self._links and not self._tasks:
            self._connection.listen(self._listen)
            self._tasks = [
                asyncio.create_task(work(), name="links") for work in (self._beat, self._look, self._mark)
            ]

    async def close(self) -> None:
        await end(*self._tasks, *self._finding.values())

    def state(self, machine: str) -> LinkState:
        """How the link to ``machine`` is; ``NEVER`` for one that is no peer."""
        link = self._links.get(machine)
        return LinkState.NEVER if link is None else link.state

    def distrust(self, machines: Iterable[str]) -> None:
        """The identities of ``machines`` were revoked; each is trusted again once a heartbeat proves a new one."""
        self._distrusted.update(machines)

    def trusts(self, machine: str) -> bool:
        return machine not in self._distrusted

    def views(self) -> list[LinkView]:
        """Every link as people see it."""
        now = clock.monotonic()
        return [
            LinkView(
                machine=peer,
                state=link.state.value,
                since_s=now - link.since,
                round_trip_s=link.best.round_trip_s if link.best else None,
                clock_ahead_s=link.best.ahead_s if link.best else None,
                made=link.made if link.state is LinkState.UP else None,
            )
            for peer, link in self._links.items()
        ]

    async def _listen(self, client: Client) -> None:
        with contextlib.suppress(nats.errors.Error, OSError):
            await client.subscribe(_subject("*"), cb=self._heard)

    async def _heard(self, message: Msg) -> None:
        peer = message.subject.split(".")[1]
        link = self._links.get(peer)
        # JetStream delivers to any subject an agent names; what it delivers keeps the subject it was stored under.
        if link is None or message.subject != _subject(peer):
            return
        try:
            beat = _decoder.decode(message.data)
        except msgspec.MsgspecError:
            # Another release over there; its silence will be told.
            return
        if peer in self._distrusted and self._vouching.accepts(peer, beat.proof):
            self._distrusted.discard(peer)
            log.info("%s has a new identity", peer)
        link.beat(beat, clock.monotonic(), clock.wall())
        self._judge()

    async def _beat(self) -> None:
        while True:
            heard = {peer: link.heard for peer, link in self._links.items() if link.heard is not None}
            beat = Beat(sent=clock.wall(), heard=heard, proof=self._vouching.proof(), made=self._made())
            with contextlib.suppress(nats.errors.Error, OSError, TandemError):
                client = await self._connection.client(timeout=BEAT_S)
                await client.publish(_subject(self._machine), msgspec.msgpack.encode(beat))
            await asyncio.sleep(BEAT_S)

    async def _look(self) -> None:
        while True:
            now = clock.monotonic()
            for peer, link in self._links.items():
                if link.is_doubtful(now) and peer not in self._finding:
                    self._finding[peer] = asyncio.create_task(self._find(peer, link), name="links")
            self._judge()
            await asyncio.sleep(LOOK_S)

    def _judge(self) -> None:
        now = clock.monotonic()
        for peer, link in self._links.items():
            before = link.state
            if link.judge(now):
                level = logging.INFO if link.state is LinkState.UP else logging.WARNING
                log.log(level, "link to %s: %s -> %s", peer, before, link.state)
                self._changed()
            self._tell_skew(peer, link)

    def _tell_skew(self, peer: str, link: PeerLink) -> None:
        ahead = link.best.ahead_s if link.best else 0.0
        if abs(ahead) <= SKEW_S:
            self._told_skewed.discard(peer)
        elif peer not in self._told_skewed:
            self._told_skewed.add(peer)
            log.warning("the clock of %s is %+.1f s from ours", peer, ahead)

    async def _find(self, peer: str, link: PeerLink) -> None:
        """Knock at an agent's door over there; being refused is an answer, too."""
        try:
            knocks = [asyncio.create_task(_answers(host, port)) for host, port in await self._doors(peer)]
            for knock in asyncio.as_completed(knocks):
                if await knock:
                    link.found(clock.monotonic())
                    break
            await end(*knocks)
        except TandemError as error:
            log.debug("looking for %s: %s", peer, error)
        finally:
            await asyncio.sleep(LOOK_S)
            del self._finding[peer]

    async def _doors(self, peer: str) -> list[tuple[str, int]]:
        leases = [lease for lease in await self._registry.list() if lease.machine == peer and lease.zmq]
        ends = [urlsplit(lease.zmq) for lease in leases[:DOORS_TRIED]]
        return [(str(end.hostname), end.port) for end in ends if end.hostname and end.port]

    async def _mark(self) -> None:
        """Keep the registry's marks as the links are; agents then fail calls at once instead of waiting."""
        marked: set[str] = set(self._links)
        while True:
            for peer, link in self._links.items():
                try:
                    if link.state is LinkState.CUT:
                        since = clock.wall() - (clock.monotonic() - link.since)
                        await self._registry.mark_cut(peer, since, MARK_TTL_S)
                        marked.add(peer)
                    elif peer in marked:
                        await self._registry.mark_linked(peer)
                        marked.discard(peer)
                except TandemError as error:
                    log.debug("marking the link to %s: %s", peer, error)
            await asyncio.sleep(LOOK_S)


def _subject(machine: str) -> str:
    return f"presence.{machine}.node"


async def _answers(host: str, port: int) -> bool:
    """Whether there is a computer at ``host``: it takes the connection, or refuses it itself."""
    try:
        async with asyncio.timeout(FIND_S):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionRefusedError:
        return True
    except (OSError, TimeoutError):
        return False
    writer.close()
    return True
