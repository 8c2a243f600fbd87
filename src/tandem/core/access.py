"""How a process reaches the servers of its own machine. Filled by ``tandem.infra``, used by ``events`` and ``registry``."""

from __future__ import annotations

from msgspec import Struct


class NatsAccess(Struct, frozen=True):
    """One user of one machine's nats-server: TLS with a client certificate, then an nkey.

    ``nkey_seed`` is the encoded user seed (``SU…``); the files are PEM and readable by this uid only.
    ``domain`` is the server's JetStream domain, which is the machine's name. ``inbox_prefix`` is the only
    inbox this user may subscribe to (empty: any).
    """

    url: str
    nkey_seed: bytes
    ca_file: str
    cert_file: str
    key_file: str
    domain: str
    machine: str
    inbox_prefix: str = ""

    def __repr__(self) -> str:
        return f"NatsAccess(url={self.url!r}, machine={self.machine!r}, nkey_seed=[redacted])"


class ValkeyAccess(Struct, frozen=True):
    """One ACL user of one Valkey server, which listens on a unix ``socket`` only."""

    socket: str
    username: str
    password: str

    def __repr__(self) -> str:
        return f"ValkeyAccess(socket={self.socket!r}, username={self.username!r}, password=[redacted])"
