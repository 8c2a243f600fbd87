"""Who is signed in with a browser: begun by a link that works once, ended by whoever is signed in, kept across restarts.

A session has two secrets. The cookie says who it is; browsers send it to every port of a host, so a program of another
user on this computer may come to see it. The proof is told once, to the page that signed in, which keeps it for its own
origin (port included) and sends it with everything that acts: a cookie somebody has stolen opens nothing but reading.
Only hashes of both are stored.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Callable
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core import clock
from tandem.core.damage import UNREADABLE
from tandem.core.errors import PermissionDenied, Unavailable
from tandem.core.files import write_atomic
from tandem.security.files import SECRET_MODE

log = logging.getLogger("tandem.hub")

LINK_S = 120.0
"""How long a link to sign in works; long enough to paste it into a browser on another computer."""

SESSION_S = 12 * 3600.0
"""How long a browser stays signed in at most; a working day."""

MAX_LINKS = 32
MAX_SESSIONS = 64
"""Of one hub; the oldest ends first."""


class Session(Struct, frozen=True, kw_only=True):
    """``cookie`` and ``proof`` are SHA-256 in hex. ``epoch``: of its owner's identity when it began; a revocation
    raises it. Times are Unix seconds."""

    cookie: str
    proof: str
    name: str
    epoch: int
    began: float
    until: float

    def proves(self, proof: str) -> bool:
        """Whether ``proof`` is what the page of this session was told."""
        return hmac.compare_digest(self.proof, digest(proof))


class Begun(Struct, frozen=True):
    """What a new session's browser is told, once."""

    session: Session
    cookie: str
    proof: str


class Sessions:
    """Of one hub, in ``path``. ``epoch`` gives the present one of a person's identity; see :class:`tandem.security.Verifier`."""

    def __init__(self, path: Path, epoch: Callable[[str], int] = lambda _name: 0):
        self._path = path
        self._epoch = epoch
        self._links: dict[str, tuple[str, float]] = {}
        self._kept: dict[str, Session] = {}
        self._read: tuple[int, int] | None = None

    def invite(self, name: str) -> str:
        """A code that signs ``name`` in once within :data:`LINK_S`; it does not outlive this process."""
        now = clock.monotonic()
        self._links = {code: link for code, link in self._links.items() if link[1] > now}
        while len(self._links) >= MAX_LINKS:
            self._links.pop(next(iter(self._links)))
        code = secrets.token_urlsafe(24)
        self._links[digest(code)] = (name, now + LINK_S)
        return code

    def begin(self, code: str) -> Begun:
        """Raises :class:`PermissionDenied` for a code that was used, is too old, or never was one."""
        name, until = self._links.pop(digest(code), ("", 0.0))
        if until <= clock.monotonic():
            raise PermissionDenied("this link was used already, is too old, or was never made", hint="tandem hub open")
        cookie, proof, now = secrets.token_urlsafe(24), secrets.token_urlsafe(24), clock.wall()
        session = Session(
            cookie=digest(cookie), proof=digest(proof), name=name, epoch=self._epoch(name), began=now, until=now + SESSION_S
        )
        kept = self._present()
        while len(kept) >= MAX_SESSIONS:
            kept.pop(next(iter(kept)))
        self._keep({**kept, session.cookie: session})
        return Begun(session, cookie, proof)

    def find(self, cookie: str) -> Session | None:
        """The session of a browser that sends ``cookie``; None when there is none any more."""
        return self._present().get(digest(cookie)) if cookie else None

    def of(self, name: str) -> list[Session]:
        """Every session of ``name``, the oldest first."""
        return [session for session in self._present().values() if session.name == name]

    def end(self, session: Session) -> None:
        """Sign one browser out."""
        self._keep({key: kept for key, kept in self._present().items() if key != session.cookie})

    def end_all(self, name: str) -> int:
        """Sign ``name`` out everywhere, and let no link of theirs work; how many sessions ended."""
        self._links = {code: link for code, link in self._links.items() if link[0] != name}
        kept = self._present()
        left = {key: session for key, session in kept.items() if session.name != name}
        self._keep(left)
        return len(kept) - len(left)

    def _present(self) -> dict[str, Session]:
        """What holds now, also what another process of this hub has changed, as while it is being replaced."""
        try:
            info = self._path.stat()
        except FileNotFoundError:
            self._kept, self._read = {}, None
        else:
            seen = (info.st_ino, info.st_mtime_ns)
            if seen != self._read:
                self._kept, self._read = {session.cookie: session for session in self._stored()}, seen
        now = clock.wall()
        return {
            key: session
            for key, session in self._kept.items()
            if session.until > now and session.epoch == self._epoch(session.name)
        }

    def _keep(self, sessions: dict[str, Session]) -> None:
        try:
            write_atomic(self._path, msgspec.json.encode(list(sessions.values())), SECRET_MODE)
        except OSError as error:
            raise Unavailable(f"who is signed in cannot be written down: {error}", hint=f"check {self._path.parent}") from error
        self._read = None

    def _stored(self) -> list[Session]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Session])
        except (OSError, *UNREADABLE) as error:
            log.error("nobody is signed in any more: %s: %s", self._path, error)
            return []


def digest(secret: str) -> str:
    """What is stored of a secret of 192 random bits; it needs no salt and no slowness."""
    return hashlib.sha256(secret.encode()).hexdigest()
