"""Figures of the servers Tandem runs on this machine: what NATS and Valkey say about themselves."""

from __future__ import annotations

import asyncio
import urllib.request
from typing import Any

import msgspec
from msgspec import Struct

from tandem.core.access import ValkeyAccess
from tandem.core.errors import TandemError
from tandem.registry.resp import Client

ANSWER_S = 2.0
MAX_ANSWER = 8 * 1024 * 1024
MAX_CONSUMERS = 2_000

_VARZ = {
    "connections": "nats_connections",
    "in_msgs": "nats_received_messages_total",
    "out_msgs": "nats_sent_messages_total",
    "in_bytes": "nats_received_bytes_total",
    "out_bytes": "nats_sent_bytes_total",
    "slow_consumers": "nats_slow_consumers_total",
    "leafnodes": "nats_leafnodes",
}
_INFO = {
    "connected_clients": "valkey_connected_clients",
    "used_memory": "valkey_used_memory_bytes",
    "maxmemory": "valkey_max_memory_bytes",
    "total_commands_processed": "valkey_commands_total",
    "keyspace_hits": "valkey_keyspace_hits_total",
    "keyspace_misses": "valkey_keyspace_misses_total",
    "evicted_keys": "valkey_evicted_keys_total",
    "rejected_connections": "valkey_rejected_connections_total",
}


class StreamFigures(Struct, frozen=True, kw_only=True):
    """One JetStream stream of this machine."""

    name: str
    messages: int
    bytes: int
    pending: dict[str, int]
    """Consumer to messages that wait for it or were handed out and not settled: its queue."""


class ServerFigures(Struct, frozen=True, kw_only=True):
    """By server (``nats``, ``valkey-control``, ``valkey-cache``), names without the prefix ``tandem_``; one that does not
    answer is left out."""

    by_server: dict[str, dict[str, float]]
    streams: list[StreamFigures]


class Servers:
    """``monitor``: NATS's own HTTP port on loopback; ``valkeys``: how to reach each Valkey."""

    def __init__(self, monitor: int, valkeys: dict[str, ValkeyAccess]):
        self._monitor = monitor
        self._clients = {name: Client(access, ANSWER_S) for name, access in valkeys.items()}

    async def close(self) -> None:
        for client in self._clients.values():
            await client.close()

    async def read(self) -> ServerFigures:
        """Ask all of them at once."""
        names = list(self._clients)
        asked = asyncio.gather(*map(self._valkey, names))
        nats, streams = await asyncio.to_thread(lambda: (self._nats(), self._streams()))
        found = dict(zip(names, await asked, strict=True)) | {"nats": nats}
        return ServerFigures(by_server={name: values for name, values in found.items() if values}, streams=streams)

    def _get(self, path: str) -> dict[str, Any]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._monitor}{path}", timeout=ANSWER_S) as answer:
                return msgspec.json.decode(answer.read(MAX_ANSWER), type=dict[str, Any])
        except (OSError, msgspec.DecodeError):
            return {}

    def _nats(self) -> dict[str, float]:
        varz = self._get("/varz")
        return {ours: float(varz[theirs]) for theirs, ours in _VARZ.items() if theirs in varz}

    def _streams(self) -> list[StreamFigures]:
        answer = self._get(f"/jsz?accounts=true&streams=true&consumers=true&limit={MAX_CONSUMERS}")
        details = [stream for account in answer.get("account_details") or [] for stream in account.get("stream_detail") or []]
        return [
            StreamFigures(
                name=stream["name"],
                messages=stream["state"]["messages"],
                bytes=stream["state"]["bytes"],
                pending={
                    consumer["name"]: consumer["num_pending"] + consumer["num_ack_pending"]
                    for consumer in stream.get("consumer_detail") or []
                },
            )
            for stream in details
        ]

    async def _valkey(self, name: str) -> dict[str, float]:
        try:
            answer = await self._clients[name].ask("INFO", "everything")
        except TandemError:
            return {}
        lines = answer.decode().splitlines() if isinstance(answer, bytes) else []
        fields = dict(line.split(":", 1) for line in lines if ":" in line)
        found = {ours: float(fields[theirs]) for theirs, ours in _INFO.items() if theirs in fields}
        keys = [value for key, value in fields.items() if key.startswith("db") and value.startswith("keys=")]
        found["valkey_keys"] = float(sum(int(value.split(",")[0].removeprefix("keys=")) for value in keys))
        return found
