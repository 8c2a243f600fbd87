"""Who is calling, and what a process receives to prove who it is."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

Kind = Literal["agent", "node", "operator", "user"]


class Principal(Struct, frozen=True):
    """A verified caller: ``Agent@machine``, ``node@machine``, ``operator`` or a user's name."""

    name: str
    kind: Kind
    scopes: tuple[str, ...] = ()


class CurveKeys(Struct, frozen=True):
    """A CurveZMQ key pair; each key is 40 bytes of Z85 (https://rfc.zeromq.org/spec/32/)."""

    public: bytes
    secret: bytes

    def __repr__(self) -> str:
        return f"CurveKeys(public={self.public!r}, secret=[redacted])"


class NkeyPair(Struct, frozen=True):
    """A NATS user key: ``public`` (``U…``) goes into the server's configuration, ``seed`` (``SU…``) to the user."""

    public: str
    seed: bytes

    def __repr__(self) -> str:
        return f"NkeyPair(public={self.public!r}, seed=[redacted])"


class TlsFiles(Struct, frozen=True):
    """Paths of PEM files: the CA to trust, and a certificate with its private key."""

    ca: str
    cert: str
    key: str


class IdentityMaterial(Struct, frozen=True):
    """What a process receives at spawn, by inherited descriptor, never through argv or the environment.

    ``private_key`` is a raw 32-byte Ed25519 seed, ``credential`` the machine's certificate and the machine-signed
    credential joined by ``~``, ``ca_public`` the CA's raw 32-byte key, ``epochs`` what was revoked by then.
    """

    agent_id: str
    private_key: bytes
    credential: str
    ca_public: bytes
    epochs: dict[str, int] = {}

    def __repr__(self) -> str:
        return f"IdentityMaterial(agent_id={self.agent_id!r}, private_key=[redacted])"
