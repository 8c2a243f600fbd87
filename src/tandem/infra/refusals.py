"""Whom a nats-server turned away: without a certificate, with a strange or expired one, or with an unknown key.

The server keeps its last 10,000 closed connections with the reason in its monitoring
(https://docs.nats.io/running-a-nats-service/nats_admin/monitoring#connection-information); what exactly was wrong with a
certificate is in its log.
"""

from __future__ import annotations

import os
import re
from datetime import UTC, datetime
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import Unavailable
from tandem.infra.log_tail import LONGEST, LogTail
from tandem.infra.probe import http_get

REASONS = frozenset({
    "Authentication Failure", "Authentication Timeout", "Authentication Expired", "Credentials Revoked", "TLS Handshake Failure",
})  # fmt: skip
_LEFT = re.compile(r"(?:EOF|connection reset by peer|broken pipe)$")
"""How a handshake ends whose client went away, as ours do when a busy computer takes too long: nobody turned it away."""
LOOKED_AT = 100
"""Closed connections of one look, the latest first; of a larger flood only these are told."""
_SHUT_OUT = re.compile(rb"Leafnode Error 'Authorization Violation'")
"""What a nats-server notes when the hub it links to does not know its key (any more)."""


class Refusal(Struct, frozen=True):
    """``where`` the connection came from (an address without port), which ``door`` it tried, and ``why`` it was ended."""

    where: str
    door: str
    why: str


class _Closed(Struct, frozen=True):
    cid: int
    kind: str = ""
    ip: str = ""
    stop: str = ""
    reason: str = ""


class _Connections(Struct, frozen=True):
    connections: list[_Closed] = []


class Refusals:
    """Looks at one nats-server, by its ``monitor`` port and its ``log``."""

    def __init__(self, monitor: int, log: Path) -> None:
        self._monitor = monitor
        self._log = log
        # The server is on this computer, so its clock is ours.
        self._news = LogTail(log)
        self._since = _moment(datetime.fromtimestamp(clock.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"))

    async def fresh(self) -> list[Refusal]:
        """Refusals since the last look, or since this was made, oldest first.

        Raises ``OSError`` or ``EOFError`` when the server is away, :class:`~tandem.core.errors.Unavailable` for nonsense.
        """
        status, body = await http_get(self._monitor, f"/connz?state=closed&sort=stop&limit={LOOKED_AT}")
        if status != 200:
            raise Unavailable(f"/connz answered {status}")
        try:
            answer = msgspec.json.decode(body, type=_Connections)
        except msgspec.MsgspecError as error:
            raise Unavailable(f"/connz is not understood: {error}") from error
        since, stops = self._since, {one.cid: _moment(one.stop) for one in answer.connections}
        self._since = max([since, *stops.values()])
        refused = [one for one in answer.connections if stops[one.cid] > since and one.reason in REASONS]
        log = self._tail() if refused else ""
        told = [_told(one, log) for one in sorted(refused, key=lambda one: stops[one.cid])]
        return [one for one in told if not _LEFT.search(one.why)]

    def own(self) -> int:
        """How often the server was itself turned away by the one it links to, since the last look or since this was made."""
        return len(_SHUT_OUT.findall(self._news.fresh()))

    def _tail(self) -> str:
        try:
            with self._log.open("rb") as file:
                file.seek(max(0, os.fstat(file.fileno()).st_size - LONGEST))
                return file.read().decode(errors="replace")
        except OSError:
            return ""  # then only the server's one-word reason is told


def _told(closed: _Closed, log: str) -> Refusal:
    leaf = closed.kind == "Leafnode"
    found = re.search(rf"[cl]id:{closed.cid} - (?:TLS|Leafnode TLS|TLS leafnode)[^\n]*?error: ([^\n]+?)(?:\"\}})?$", log, re.MULTILINE)
    why = f"{closed.reason}: {found[1].strip()}" if found else closed.reason
    return Refusal(closed.ip, "NATS link" if leaf else "NATS", why)


def _moment(text: str) -> tuple[int, ...]:
    """An RFC 3339 time in UTC, as Go writes it with up to nine decimals, so that moments compare."""
    whole, _, fraction = text.rstrip("Z").partition(".")
    return (*(int(part) for part in re.findall(r"\d+", whole)), int(fraction.ljust(9, "0")) if fraction else 0)
