"""What the node does so that names of one machine are known on the others.

Each machine keeps its own leases in a NATS key-value bucket ``leases_<machine>`` of its own server; each other
machine's server holds a mirror of that bucket, and the node there copies it into its control Valkey. A cut link
leaves the last known leases in place; when it heals, the mirror brings what changed. The leases of a machine whose
identity was revoked are forgotten until it has shown a new one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from urllib.parse import urlsplit

import msgspec
from msgspec import Struct, structs
from nats.aio.client import Client
from nats.js.api import DiscardPolicy, ExternalStream, StreamConfig, StreamSource
from nats.js.errors import NotFoundError
from nats.js.kv import KeyValue

from tandem.core import clock
from tandem.core.errors import Unavailable
from tandem.core.tasks import end
from tandem.events.connection import Connection
from tandem.events.healing import API_TIMEOUT_S, ApiError, Patience, SourceState, stream_answers
from tandem.events.reading import read_all
from tandem.events.streams import ensure_stream
from tandem.registry.client import Registry
from tandem.registry.lease import Lease

log = logging.getLogger(__name__)

PERIOD_S = 0.5

GONE_AFTER_S = 2.0
"""A name that is back within this time was never gone for the other machines; restarts take a tenth of it."""

MAX_BYTES = 8 * 1024 * 1024
_ANYWHERE = ("0.0.0.0", "::", "*")


class Mirror:
    """Keeps the buckets of ``machine`` and its peers in step with the local registry until closed.

    ``host`` is the address under which other machines reach this one; it replaces a wildcard in the endpoints that
    agents bind. ``is_trusted`` says whether a peer's identity is good; see :meth:`distrust`.
    """

    def __init__(
        self,
        registry: Registry,
        connection: Connection,
        machine: str,
        peers: Iterable[str],
        host: str = "127.0.0.1",
        is_trusted: Callable[[str], bool] = lambda _peer: True,
    ) -> None:
        self._connection = connection
        self._own = _OwnBucket(registry, machine, host)
        self._peers = {
            peer: _PeerBucket(registry, peer, is_trusted) for peer in sorted(set(peers) - {machine})
        }
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin mirroring in the background; a missing server delays it, no more."""
        if self._tasks:
            return
        loops = [self._repeat("own", self._own)]
        loops += [self._repeat(peer, bucket) for peer, bucket in self._peers.items()]
        self._tasks = [asyncio.create_task(loop, name="mirror") for loop in loops]

    def distrust(self, machines: Iterable[str]) -> None:
        """Forget what ``machines`` told so far, and hear those that are trusted from the beginning."""
        for machine in machines:
            if machine in self._peers:
                self._peers[machine].distrust()

    async def close(self) -> None:
        tasks, self._tasks = self._tasks, []
        await end(*tasks)

    async def _repeat(self, what: str, bucket: _OwnBucket | _PeerBucket) -> None:
        told = ""
        while True:
            client = await self._connection.client()
            try:
                await bucket.step(client)
                told = ""
            except Exception as error:
                # Whatever it is, names must go on being mirrored once it is over.
                bucket.forget()
                if str(error) != told:
                    told = str(error)
                    log.warning("mirroring names (%s): %s", what, error)
            await asyncio.sleep(PERIOD_S)


def bucket_stream(machine: str) -> str:
    """The stream behind a machine's bucket."""
    return f"KV_{bucket_name(machine)}"


def bucket_name(machine: str) -> str:
    return f"leases_{machine}"


class _OwnBucket:
    """Our registry → our bucket."""

    def __init__(self, registry: Registry, machine: str, host: str) -> None:
        self._registry = registry
        self._machine = machine
        self._host = host
        self._client: Client | None = None
        self._bucket: KeyValue | None = None
        self._written: dict[str, Lease] = {}
        self._missing_since: dict[str, float] = {}

    def forget(self) -> None:
        self._client = None

    async def step(self, client: Client) -> None:
        if client is not self._client or self._bucket is None:
            self._bucket = await self._begin(client)
        bucket = self._bucket
        present = {lease.agent: self._advertised(lease) for lease in await self._registry.own()}
        for agent, lease in present.items():
            if not lease.same_as(self._written.get(agent)):
                await bucket.put(agent, msgspec.json.encode(lease))
                self._written[agent] = lease
        for agent in self._gone(present):
            await bucket.delete(agent)
            del self._written[agent]

    def _gone(self, present: Mapping[str, Lease]) -> list[str]:
        """Agents whose absence has lasted; one that is merely being restarted keeps its port and its name."""
        now = clock.monotonic()
        missing = self._written.keys() - present.keys()
        self._missing_since = {agent: self._missing_since.get(agent, now) for agent in missing}
        return [agent for agent, since in self._missing_since.items() if now - since >= GONE_AFTER_S]

    async def _begin(self, client: Client) -> KeyValue:
        """Make the bucket and learn what it says, which may be from before a restart of ours or the server's."""
        name = bucket_stream(self._machine)
        await ensure_stream(
            client.jetstream(),
            StreamConfig(
                name=name,
                subjects=[f"$KV.{bucket_name(self._machine)}.>"],
                max_msgs_per_subject=1,
                max_bytes=MAX_BYTES,
                discard=DiscardPolicy.NEW,
                allow_rollup_hdrs=True,
                deny_delete=True,
                allow_direct=True,
            ),
        )
        self._written = {lease.agent: lease for lease in await _snapshot(client, self._machine)}
        self._client = client
        return await client.jetstream().key_value(bucket_name(self._machine))

    def _advertised(self, lease: Lease) -> Lease:
        if lease.zmq is None:
            return lease
        parts = urlsplit(lease.zmq)
        if (parts.hostname or "*") not in _ANYWHERE:
            return lease
        host = f"[{self._host}]" if ":" in self._host else self._host
        return structs.replace(lease, zmq=f"{parts.scheme}://{host}:{parts.port}")


class _Sequences(Struct, frozen=True):
    first_seq: int = 0
    last_seq: int = 0
    messages: int = 0


class _BucketState(Struct, frozen=True):
    state: _Sequences = _Sequences()
    mirror: SourceState = SourceState()
    error: ApiError | None = None


class _PeerBucket:
    """A peer's bucket, mirrored by our server → our registry."""

    def __init__(self, registry: Registry, peer: str, is_trusted: Callable[[str], bool]) -> None:
        self._registry = registry
        self._peer = peer
        self._is_trusted = is_trusted
        self._is_outdated = False
        self._copied: _Sequences | None = None
        self._names: set[str] = set()
        self._patience = Patience()

    def forget(self) -> None:
        self._copied = None

    def distrust(self) -> None:
        self._is_outdated = True

    async def step(self, client: Client) -> None:
        stream = bucket_stream(self._peer)
        # Also when it was trusted again before we looked: a machine that joined anew counts its changes from one.
        if self._is_outdated or not self._is_trusted(self._peer):
            self._is_outdated = False
            await self._expel(client)
            return
        reply = await client.request(f"$JS.API.STREAM.INFO.{stream}", b"", timeout=API_TIMEOUT_S)
        found = msgspec.json.decode(reply.data, type=_BucketState)
        if found.error is not None:
            if found.error.code != HTTPStatus.NOT_FOUND:
                raise Unavailable(f"NATS refuses: {found.error.description}")
            await client.jetstream().add_stream(self._mirror_config())
            return
        if found.state != self._copied or await self._registry.mirrored_agents(self._peer) != self._names:
            leases = await _snapshot(client, self._peer)
            await self._registry.replace_mirrored(self._peer, leases)
            self._copied, self._names = found.state, {lease.agent for lease in leases}
        if not found.mirror.silent():
            self._patience.lively(stream)
        elif await stream_answers(client, self._peer, stream) and self._patience.is_due(stream):
            await self._make_again(client)

    async def _expel(self, client: Client) -> None:
        self.forget()
        await self._registry.replace_mirrored(self._peer, [])
        with contextlib.suppress(NotFoundError):
            await client.jetstream().delete_stream(bucket_stream(self._peer))

    async def _make_again(self, client: Client) -> None:
        """A mirror that has lost its origin tries again after growing pauses; a new one tries at once."""
        manager = client.jetstream()
        await manager.delete_stream(bucket_stream(self._peer))
        await manager.add_stream(self._mirror_config())

    def _mirror_config(self) -> StreamConfig:
        name = bucket_stream(self._peer)
        external = ExternalStream(api=f"$JS.{self._peer}.API")
        return StreamConfig(
            name=name,
            mirror=StreamSource(name=name, external=external),
            max_msgs_per_subject=1,
            max_bytes=MAX_BYTES,
            discard=DiscardPolicy.NEW,
            allow_direct=True,
        )


async def _snapshot(client: Client, machine: str) -> list[Lease]:
    """Every lease in the copy of a machine's bucket that our own server has."""
    subject = f"$KV.{bucket_name(machine)}.>"
    messages = await read_all(client, bucket_stream(machine), subject, latest=True)
    # A deleted key leaves a marker with this header and no value.
    return [
        msgspec.json.decode(message.data, type=Lease)
        for message in messages
        if "KV-Operation" not in (message.headers or {})
    ]
