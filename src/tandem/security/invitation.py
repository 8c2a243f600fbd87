"""How a second computer becomes a machine of the fleet: with a code a person carries over, usable once.

The code never crosses the network. Both sides derive a key from it and encrypt what they send: public keys one way,
certificates and the fleet file the other. Whoever listens learns nothing, and whoever interferes is noticed.
"""

from __future__ import annotations

import base64
import secrets
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec import Struct

from tandem.core import clock
from tandem.core.damage import UNREADABLE, read_json
from tandem.core.errors import NotFound, PermissionDenied
from tandem.core.files import write_atomic
from tandem.core.paths import private_dir
from tandem.security.files import SECRET_MODE

CODE_BYTES = 15
"""120 random bits: 24 characters to type, and nothing to guess."""
LIFE_S = 3600
"""How long an invitation stands (seconds)."""
NONCE_BYTES = 12


class Invitation(Struct, frozen=True, kw_only=True):
    """What the inviting computer remembers: who may come, how it is reached, until when (Unix seconds), who came."""

    machine: str
    hosts: tuple[str, ...]
    key: bytes
    expires: int
    used_by: str = ""


class Sealed(Struct, frozen=True):
    """A message only somebody with the code can write or read. ``code_id`` names the code without telling it."""

    code_id: str
    nonce: bytes
    sealed: bytes


def new_code() -> str:
    """A fresh code such as ``ABCDEF-GHIJKL-MNOPQR-STUVWX``."""
    text = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode()
    return "-".join(text[i : i + 6] for i in range(0, len(text), 6))


def code_id(code: str) -> str:
    return _derive(code, "id").hex()[:16]


def code_key(code: str) -> bytes:
    return _derive(code, "key")


class Channel:
    """What both ends of one join say to each other, encrypted with the code's key (ChaCha20-Poly1305, RFC 8439).

    ``role`` is bound into each message, so that none passes for another: no question for an answer, no piece for the next.
    """

    def __init__(self, identifier: str, key: bytes) -> None:
        self.code_id = identifier
        self._cipher = ChaCha20Poly1305(key)

    @classmethod
    def of(cls, code: str) -> Channel:
        """The one that ``code`` opens."""
        return cls(code_id(code), code_key(code))

    def seal(self, role: str, body: bytes) -> bytes:
        nonce = secrets.token_bytes(NONCE_BYTES)
        sealed = self._cipher.encrypt(nonce, body, role.encode())
        return msgspec.msgpack.encode(Sealed(self.code_id, nonce, sealed))

    def open(self, role: str, message: bytes) -> bytes:
        """The body. Raises :class:`PermissionDenied` when it was not sealed for ``role`` by the other end."""
        sealed = unseal(message)
        try:
            return self._cipher.decrypt(sealed.nonce, sealed.sealed, role.encode())
        except (InvalidTag, ValueError) as error:
            raise PermissionDenied("the code is wrong, or somebody changed the message on its way") from error


def unseal(message: bytes) -> Sealed:
    """The envelope, not yet opened. Raises :class:`PermissionDenied` for anything else."""
    try:
        return msgspec.msgpack.decode(message, type=Sealed)
    except (msgspec.MsgspecError, UnicodeError) as error:
        raise PermissionDenied("not a message of a joining computer") from error


class Invitations:
    """The open invitations, one private file each."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def add(self, machine: str, hosts: tuple[str, ...], life_s: int = LIFE_S) -> str:
        """Invite ``machine``; returns the code."""
        code = new_code()
        invitation = Invitation(
            machine=machine, hosts=hosts, key=code_key(code), expires=int(clock.wall()) + life_s
        )
        self.put(code_id(code), invitation)
        return code

    def put(self, identifier: str, invitation: Invitation) -> None:
        path = private_dir(self._directory) / f"{identifier}.json"
        write_atomic(path, msgspec.json.encode(invitation), SECRET_MODE)

    def get(self, identifier: str) -> Invitation:
        """Raises :class:`NotFound` for an unknown or withdrawn invitation, :class:`PermissionDenied` for an expired one."""
        if not identifier.isalnum():
            raise NotFound("no such invitation")
        try:
            stored = (self._directory / f"{identifier}.json").read_bytes()
        except FileNotFoundError as error:
            raise NotFound("no such invitation", hint="tandem machine invite") from error
        try:
            invitation = msgspec.json.decode(stored, type=Invitation)
        except UNREADABLE as error:
            raise NotFound("the invitation is damaged", hint="tandem machine invite") from error
        if clock.wall() > invitation.expires:
            raise PermissionDenied("the invitation has expired", hint="tandem machine invite")
        return invitation

    def withdraw(self, code: str) -> None:
        """From now on the code admits nobody."""
        (self._directory / f"{code_id(code)}.json").unlink(missing_ok=True)

    def open(self) -> list[Invitation]:
        """Those that still stand; forgets the others."""
        standing = []
        for path in sorted(self._directory.glob("*.json")):
            invitation = read_json(path, Invitation)
            if invitation is None:
                continue
            if clock.wall() > invitation.expires:
                path.unlink(missing_ok=True)
            else:
                standing.append(invitation)
        return standing


def _derive(code: str, purpose: str) -> bytes:
    plain = "".join(filter(str.isalnum, code)).upper().encode()
    info = f"tandem join {purpose}".encode()
    return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(plain)
