"""Keeps the links between machines' streams alive.

After a cut, nats-server itself tries a source again after growing pauses: 13 to 40 s were measured. Dropping a silent
source and adding it again makes it start at once, from the last message it has of that origin.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Hashable, Iterable

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import Client

from tandem.core import clock
from tandem.events.connection import Connection
from tandem.events.streams import DEAD_LETTERS, PAIRS, ensure_streams

log = logging.getLogger(__name__)

API_TIMEOUT_S = 5.0
HEAL_EVERY_S = 1.0
WATCH_EVERY_S = 0.25

STALE_S = 4.0
"""A source is silent this long only when its link is cut or its consumer lost: the server beats every second."""

PATIENCE_S = 1.0
PATIENCE_MAX_S = 30.0
"""How long a restarted link gets before it is restarted again, doubling: a slow machine must not be interrupted."""


class Patience:
    """When to restart a silent link: at once, then ever more seldom until it is lively again."""

    def __init__(self) -> None:
        self._waits: dict[Hashable, tuple[float, float]] = {}

    def lively(self, link: Hashable) -> None:
        """``link`` works; the next time it falls silent it is restarted at once."""
        self._waits.pop(link, None)

    @property
    def waiting(self) -> bool:
        """Whether any link was restarted and has not been lively since."""
        return bool(self._waits)

    def is_due(self, link: Hashable) -> bool:
        """Whether a silent ``link`` should be restarted now; if so, it counts as done."""
        now = clock.monotonic()
        not_before, delay = self._waits.get(link, (now, PATIENCE_S))
        if now < not_before:
            return False
        self._waits[link] = (now + delay, min(delay * 2, PATIENCE_MAX_S))
        return True


class _External(Struct, frozen=True):
    api: str = ""


class SourceState(Struct, frozen=True):
    """The server's view of a source or mirror; nats-py leaves out ``external``, which tells equally named ones apart.

    ``active`` is nanoseconds since the last sign of life, -1 for none yet.
    """

    active: int = -1
    external: _External = _External()

    def silent(self) -> bool:
        return self.active < 0 or self.active > STALE_S * 1e9


class _StreamState(Struct, frozen=True):
    sources: list[SourceState] = []


class ApiError(Struct, frozen=True):
    """What JetStream's API says instead of an answer; ``code`` as in HTTP."""

    code: int = 0
    description: str = ""


class _Existence(Struct, frozen=True):
    error: ApiError | None = None


class _Lost(Struct, frozen=True):
    bytes: int = 0


class _Kept(Struct, frozen=True):
    lost: _Lost | None = None


class _Stored(Struct, frozen=True):
    state: _Kept = _Kept()


class SourceHealer:
    """Restarts this machine's sources of reachable peers that have fallen silent."""

    def __init__(self, machine: str, peers: Iterable[str]) -> None:
        self._peers = sorted(set(peers) - {machine})
        self._patience = Patience()

    async def heal(self, client: Client) -> list[str]:
        """Look at every link once; returns ``stream<-machine`` of each one restarted. Call it every second or two.

        Raises nats-py's errors when our own server does not answer.
        """
        healed = []
        for pair in PAIRS:
            reply = await client.request(f"$JS.API.STREAM.INFO.{pair.all}", b"", timeout=API_TIMEOUT_S)
            sources = msgspec.json.decode(reply.data, type=_StreamState).sources
            for peer in self._peers:
                api = f"$JS.{peer}.API"
                link = f"{pair.all}<-{peer}"
                if not any(source.external.api == api and source.silent() for source in sources):
                    self._patience.lively(link)
                elif await stream_answers(client, peer, pair.local) and self._patience.is_due(link):
                    await _restart_source(client, pair.all, api)
                    healed.append(link)
        return healed

    @property
    def waiting(self) -> bool:
        """Whether a link was restarted and has not come alive yet."""
        return self._patience.waiting


async def _restart_source(client: Client, stream: str, api: str) -> None:
    manager = client.jetstream()
    config = (await manager.stream_info(stream)).config
    sources = config.sources or []
    without = [source for source in sources if source.external is None or source.external.api != api]
    await manager.update_stream(config.evolve(sources=without))
    await manager.update_stream(config.evolve(sources=sources))


async def stream_answers(client: Client, machine: str, stream: str) -> bool:
    """Whether ``stream`` of another machine exists and can be reached from here."""
    try:
        reply = await client.request(f"$JS.{machine}.API.STREAM.INFO.{stream}", b"", timeout=1.0)
    except (nats.errors.Error, TimeoutError):
        return False
    return msgspec.json.decode(reply.data, type=_Existence).error is None


async def tell_losses(client: Client) -> None:
    """Say of which streams the server could not read everything when it started. Copies are left out: they are fetched again.

    Raises nats-py's errors when our own server does not answer.
    """
    for stream in (*(pair.local for pair in PAIRS if not pair.memory), DEAD_LETTERS):
        reply = await client.request(f"$JS.API.STREAM.INFO.{stream}", b'{"deleted_details": true}', timeout=API_TIMEOUT_S)
        lost = msgspec.json.decode(reply.data, type=_Stored).state.lost
        if lost is not None:
            log.error("nats-server could not read %d bytes of stream %s: what was in them is lost", lost.bytes, stream)


async def keep_streams(connection: Connection, machine: str, peers: Iterable[str] = ()) -> None:
    """Ensure the streams whenever NATS (re)appears and heal their links for as long as it stays; runs for ever."""
    others = sorted(set(peers) - {machine})
    healer = SourceHealer(machine, others)
    told = ""
    while True:
        client = await connection.client()
        try:
            await ensure_streams(client, machine, others)
            await tell_losses(client)
            while client.is_connected:
                for link in await healer.heal(client):
                    log.info("link %s restarted", link)
                told = ""
                await asyncio.sleep(WATCH_EVERY_S if healer.waiting else HEAL_EVERY_S)
        except Exception as error:
            # Whatever it is, the streams must be kept again once it is over.
            if str(error) != told:
                told = str(error)
                log.warning("keeping the streams of %s: %s", machine, error)
        await asyncio.sleep(HEAL_EVERY_S)
