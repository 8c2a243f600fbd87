"""User accounts on disk: slow salted password hashes, and sessions known by the hash of their token only."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
from pathlib import Path

from tandem.core.errors import InvalidArguments, PermissionDenied
from tandem_agents.infrastructure.contracts import Identified, LoggedIn
from tandem_agents.storage import Database, Migration

MIGRATIONS = (
    Migration(
        1,
        """
CREATE TABLE accounts (name TEXT PRIMARY KEY, password TEXT NOT NULL, created REAL NOT NULL) STRICT;
CREATE TABLE sessions (
    token BLOB PRIMARY KEY,
    name TEXT NOT NULL REFERENCES accounts(name) ON DELETE CASCADE,
    expires REAL NOT NULL
) STRICT;
CREATE INDEX sessions_by_name ON sessions(name);
""",
    ),
)
SESSION_S = 24 * 3600.0
SESSIONS_PER_USER = 32
"""The oldest ends when one more begins."""
LOG_N, R, P = 15, 8, 3
"""scrypt (RFC 7914) with 32 MiB and some 100 ms a guess: one of the settings OWASP's password storage cheat sheet names."""
_SALT_BYTES = 16
_MAX_MEMORY = 64 * 1024 * 1024


class AccountBook:
    """Accounts and sessions. Not for several threads at once: hashing is meant to be slow, and runs one at a time."""

    def __init__(self, path: Path, epoch: int = 0):
        self._database = Database(path, MIGRATIONS, epoch)
        # Hashed for names nobody has, so that the time of an answer does not tell which exist.
        self._decoy = hash_password(secrets.token_hex())

    def close(self) -> None:
        self._database.close()

    def register(self, name: str, password: str, now: float) -> None:
        """Raises :class:`InvalidArguments` when the name is taken."""
        hashed = hash_password(password)
        with self._database.transaction() as store:
            added = store.execute("INSERT OR IGNORE INTO accounts VALUES (?, ?, ?)", (name, hashed, now))
            if not added.rowcount:
                raise InvalidArguments(f"there is a user {name!r} already")

    def log_in(self, name: str, password: str, now: float) -> LoggedIn:
        """Raises :class:`PermissionDenied`, which does not tell whether the name or the password is wrong."""
        row = self._database.row("SELECT password FROM accounts WHERE name = ?", name)
        right = is_password(password, row["password"] if row else self._decoy)
        if row is None or not right:
            raise PermissionDenied("wrong name or password")
        token, expires = secrets.token_urlsafe(32), now + SESSION_S
        with self._database.transaction() as store:
            if is_outdated(row["password"]):
                store.execute("UPDATE accounts SET password = ? WHERE name = ?", (hash_password(password), name))
            store.execute("DELETE FROM sessions WHERE expires <= ?", (now,))
            store.execute("INSERT INTO sessions VALUES (?, ?, ?)", (_fingerprint(token), name, expires))
            store.execute(
                "DELETE FROM sessions WHERE name = ? AND token NOT IN"
                " (SELECT token FROM sessions WHERE name = ? ORDER BY expires DESC, rowid DESC LIMIT ?)",
                (name, name, SESSIONS_PER_USER),
            )
        return LoggedIn(token=token, user=name, expires=expires)

    def log_out(self, token: str) -> bool:
        """Whether there was such a session."""
        with self._database.transaction() as store:
            return bool(store.execute("DELETE FROM sessions WHERE token = ?", (_fingerprint(token),)).rowcount)

    def validate(self, token: str, now: float) -> Identified:
        """Raises :class:`PermissionDenied` for a token that is unknown, ended or logged out."""
        row = self._database.row(
            "SELECT name, expires FROM sessions WHERE token = ? AND expires > ?", _fingerprint(token), now
        )
        if row is None:
            raise PermissionDenied("the session has ended", hint="log in again")
        return Identified(user=row["name"], expires=row["expires"])

    def change_password(self, name: str, password: str) -> None:
        """Replace the password and end every session of the user."""
        hashed = hash_password(password)
        with self._database.transaction() as store:
            store.execute("UPDATE accounts SET password = ? WHERE name = ?", (hashed, name))
            store.execute("DELETE FROM sessions WHERE name = ?", (name,))


def hash_password(password: str) -> str:
    """``scrypt$log2(N)$r$p$salt$hash``, with a fresh salt."""
    salt = secrets.token_bytes(_SALT_BYTES)
    digest = _scrypt(password, salt, LOG_N, R, P)
    return "$".join(["scrypt", str(LOG_N), str(R), str(P), *(base64.b64encode(raw).decode() for raw in (salt, digest))])


def is_password(password: str, hashed: str) -> bool:
    """Whether ``hashed`` was made from ``password``, with whatever settings were usual then."""
    _, log_n, r, p, salt, digest = hashed.split("$")
    found = _scrypt(password, base64.b64decode(salt), int(log_n), int(r), int(p))
    return hmac.compare_digest(found, base64.b64decode(digest))


def is_outdated(hashed: str) -> bool:
    """Whether it was made with other settings than those of today."""
    return hashed.split("$")[1:4] != [str(LOG_N), str(R), str(P)]


def _scrypt(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    raw = password.encode("utf-8", "surrogatepass")
    return hashlib.scrypt(raw, salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MAX_MEMORY, dklen=32)


def _fingerprint(token: str) -> bytes:
    # No salt and no slowness: a token has 256 random bits, so there is nothing to guess.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
