"""The leases in one machine's control Valkey.

Agents refresh their own lease and read all; the node writes one at the start, deletes it at death, and keeps the
copies of other machines' leases.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any

import msgspec

from tandem.core.access import ValkeyAccess
from tandem.core.errors import TandemError
from tandem.registry.lease import KEY_PREFIX, LEASE_TTL_S, Change, Lease, cut_key, mirrored_key, own_key
from tandem.registry.resp import Client

ANSWER_S = 2.0
"""How long one command may take: a local server answers in well under a millisecond or is in trouble."""

# A new instance takes the name by put(); from then on the old one's refresh and deletion must do nothing.
_IS_OURS = """
local held = redis.call('GET', KEYS[1])
local ok, lease = pcall(cjson.decode, held or '')
if held and ok and lease.instance ~= ARGV[1] then return 0 end
"""
_REFRESH = _IS_OURS + "redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) return 1"
_DELETE = _IS_OURS + "return redis.call('DEL', KEYS[1])"

# Spelled once, because inside the class ``list`` is the method.
Leases = list[Lease]
_Names = list[str]
_decoder = msgspec.json.Decoder(Lease)


class Registry:
    """One client; reconnects by itself, so a restart of the server costs at most one failed call.

    Every method raises :class:`Unreachable` while the server is away, :class:`PermissionDenied` when the ACL refuses,
    and :class:`Unavailable` when the server refuses writes (no room).
    """

    def __init__(self, access: ValkeyAccess, *, ttl_s: float = LEASE_TTL_S) -> None:
        self._ttl_ms = int(ttl_s * 1000)
        self._valkey = Client(access, ANSWER_S)

    async def close(self) -> None:
        await self._valkey.close()

    async def put(self, lease: Lease) -> None:
        """Give the name to this instance, whoever held it."""
        await self._valkey.ask("SET", own_key(lease.agent), _encode(lease), "PX", self._ttl_ms)

    async def refresh(self, lease: Lease) -> bool:
        """Prolong the lease unless another instance holds the name by now; whether it was prolonged."""
        return bool(await self._run(_REFRESH, lease.agent, lease.instance, _encode(lease), self._ttl_ms))

    async def delete(self, agent: str, instance: str) -> bool:
        """Give the name back unless another instance holds it; whether there was a lease to delete."""
        return bool(await self._run(_DELETE, agent, instance))

    async def lookup(self, name: str) -> Leases:
        """Leases of ``Agent`` on every machine known here, or of ``Agent@machine``: none or one."""
        agent, _, machine = name.partition("@")
        if machine:
            keys = [own_key(agent), mirrored_key(agent, machine)]
            return [lease for lease in await self._read(keys) if lease.machine == machine][:1]
        return await self._read([own_key(agent), *await self._keys(mirrored_key(_escape(agent), "*"))])

    async def list(self) -> Leases:
        """Every lease known here, own and mirrored, by name."""
        return await self._read(await self._keys(f"{KEY_PREFIX}*"))

    async def own(self) -> Leases:
        """The leases of this machine's agents, by name."""
        return await self._read([key for key in await self._keys(f"{KEY_PREFIX}*") if "@" not in key])

    async def mirrored_agents(self, machine: str) -> set[str]:
        """Names of another machine's agents of which there is a copy here."""
        keys = await self._keys(mirrored_key("*", _escape(machine)))
        return {key.removeprefix(KEY_PREFIX).partition("@")[0] for key in keys}

    async def replace_mirrored(self, machine: str, leases: Iterable[Lease]) -> None:
        """Make ``leases`` all that is known here of another machine; they do not expire."""
        wanted = {mirrored_key(lease.agent, machine): _encode(lease) for lease in leases}
        stale = [key for key in await self._keys(mirrored_key("*", _escape(machine))) if key not in wanted]
        if wanted:
            await self._valkey.ask("MSET", *(word for pair in wanted.items() for word in pair))
        if stale:
            await self._valkey.ask("DEL", *stale)

    async def mark_cut(self, machine: str, since: float, ttl_s: float) -> None:
        """Tell this machine's agents that ``machine`` has been out of reach since ``since`` (Unix seconds)."""
        await self._valkey.ask("SET", cut_key(machine), repr(since), "PX", int(ttl_s * 1000))

    async def mark_linked(self, machine: str) -> None:
        """Take that back."""
        await self._valkey.ask("DEL", cut_key(machine))

    async def cut_since(self, machine: str) -> float | None:
        """Since when (Unix seconds) ``machine`` is out of reach; None while it can be reached, or nobody knows."""
        found = await self._valkey.ask("GET", cut_key(machine))
        return None if found is None else float(found)

    async def watch(self, every_s: float = 0.5) -> AsyncIterator[Change]:
        """Changes from now on, first everything there is; refreshes alone are none. While the server is away: none.

        It polls: at 77 leases a look costs less than following 15 refreshes a second as they happen.
        """
        known: dict[str, Lease] = {}
        while True:
            try:
                present = {lease.name: lease for lease in await self.list()}
            except TandemError:
                present = known
            for name in sorted(known.keys() | present.keys()):
                before, after = known.get(name), present.get(name)
                if before is None or not before.same_as(after):
                    yield Change(before, after)
            known = present
            await asyncio.sleep(every_s)

    async def _keys(self, pattern: str) -> _Names:
        found: set[bytes] = set()
        cursor: bytes = b"0"
        while True:
            cursor, keys = await self._valkey.ask("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            found.update(keys)
            if cursor == b"0":
                return sorted(key.decode() for key in found)

    async def _read(self, keys: Iterable[str]) -> Leases:
        listed = [*keys]
        if not listed:
            return []
        values = await self._valkey.ask("MGET", *listed)
        return [lease for lease in map(_decode, values) if lease is not None]

    async def _run(self, script: str, agent: str, *arguments: str | bytes | int) -> Any:
        return await self._valkey.ask("EVAL", script, 1, own_key(agent), *arguments)


def _encode(lease: Lease) -> bytes:
    return msgspec.json.encode(lease)


def _decode(value: bytes | str | None) -> Lease | None:
    """The lease, or None for a key that vanished or was written by something else."""
    if value is None:
        return None
    try:
        return _decoder.decode(value)
    except msgspec.MsgspecError:
        return None


def _escape(text: str) -> str:
    """``text`` in a glob pattern, standing for itself."""
    return "".join(f"\\{letter}" if letter in "*?[]\\^-" else letter for letter in text)
