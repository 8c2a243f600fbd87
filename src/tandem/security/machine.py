"""One machine's identity: signs for its agents and derives their keys."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import PermissionDenied
from tandem.core.ids import AgentId
from tandem.core.paths import FORMER_SEED
from tandem.security.files import read_secret
from tandem.security.keyring import Keyring
from tandem.security.model import CurveKeys, IdentityMaterial, Kind, NkeyPair, TlsFiles
from tandem.security.tokens import CREDENTIAL_S, SEPARATOR, CredentialClaims, encode_key, sign, verify

SEED_FILE = "seed"
CERTIFICATE_FILE = "machine.jwt"
LEAF = "leaf"
"""The NATS user as which a machine's server links to its hub."""
NODE = "node"
"""The NATS and Valkey user of a machine's node."""


class MachineRequest(Struct, frozen=True):
    """What a machine asks the CA to certify: public keys only (base64url), and where its servers are reached."""

    name: str
    hosts: tuple[str, ...]
    signing: str
    server: str
    client: str
    leaf: str


class MachineGrant(Struct, frozen=True):
    """What the CA answers: the machine's certificate for signing, its TLS certificates (PEM), what is revoked so far."""

    certificate: str
    server: bytes
    client: bytes
    authority: bytes
    announcement: str


class Machine:
    """A machine this computer holds the private keys of. Made by :meth:`Authority.machine`.

    ``subject`` below is ``Name@machine`` for an agent, else :data:`NODE` or :data:`LEAF`.
    """

    def __init__(
        self, name: str, directory: Path, ca_file: Path, ca_public: bytes, epochs: Mapping[str, int]
    ) -> None:
        self.name = name
        self._directory = directory
        self._ca_file = ca_file
        self._ca_public = ca_public
        self._epochs = epochs
        self._keyring = Keyring(read_secret(directory / SEED_FILE))
        self._certificate = (directory / CERTIFICATE_FILE).read_text()
        self._signing_key = self._keyring.signing_key()
        former = directory / FORMER_SEED
        self._former = Keyring(read_secret(former)) if former.exists() else None

    @property
    def is_rotating(self) -> bool:
        """Whether what its former keys made is good as well; see :mod:`tandem.security.rotation`."""
        return self._former is not None and (self._directory / FORMER_SEED).exists()

    @property
    def is_current(self) -> bool:
        """Whether nobody gave the machine other keys since this was made."""
        return read_secret(self._directory / SEED_FILE) == self._keyring.seed

    @property
    def server_tls(self) -> TlsFiles:
        """For this machine's nats-server; also a client certificate, since a leaf node dials its hub."""
        return self._tls("server")

    @property
    def client_tls(self) -> TlsFiles:
        """For everybody on this machine who connects to its nats-server."""
        return self._tls("client")

    def issue(self, subject: str, kind: Kind = "agent", scopes: Iterable[str] = ()) -> IdentityMaterial:
        """A fresh key and its 24 h credential. ``scopes`` is the most its holder may claim."""
        key = Ed25519PrivateKey.generate()
        public = encode_key(key.public_key().public_bytes_raw())
        credential = self._sign(str(subject), kind, public, tuple(scopes))
        return IdentityMaterial(
            str(subject), key.private_bytes_raw(), credential, self._ca_public, dict(self._epochs)
        )

    def renew(self, credential: str) -> str:
        """A fresh 24 h credential for the holder of ``credential``, which this machine signed and which may have ended.

        Raises :class:`PermissionDenied` when it is somebody else's work, or was revoked.
        """
        old = self._own(credential.rpartition(SEPARATOR)[2])
        if old.epoch < self._epochs.get(old.sub, 0):
            raise PermissionDenied(f"the credentials of {old.sub} were revoked")
        return self._sign(old.sub, old.kind, old.key, old.scopes)

    def agent(self, name: str) -> AgentId:
        return AgentId.of(name, self.name)

    def curve(self, subject: str) -> CurveKeys:
        """The CURVE keys of ``subject``, the same for each of its instances."""
        return self._keyring.curve(subject, self._epochs.get(subject, 0))

    def nkey(self, subject: str) -> NkeyPair:
        """The key with which ``subject`` logs into this machine's nats-server."""
        return self._keyring.nkey(subject, self._epochs.get(subject, 0))

    def nkeys(self, subject: str) -> list[str]:
        """The public keys to admit as ``subject``: its own, and the former one while the machine's keys change."""
        return [ring.nkey(subject, self._epochs.get(subject, 0)).public for ring in self._keyrings()]

    def password(self, server: str, subject: str) -> str:
        """The password of ``subject`` at one of this machine's servers, for example ``valkey-control``."""
        return self._keyring.password(server, subject, self._epochs.get(subject, 0))

    def passwords(self, server: str, subject: str) -> list[str]:
        """The passwords to accept from ``subject``: its own, and the former one while the machine's keys change."""
        return [ring.password(server, subject, self._epochs.get(subject, 0)) for ring in self._keyrings()]

    def secrets(self, purpose: str) -> list[bytes]:
        """32 bytes only this machine knows, for ``purpose`` alone (for example encrypting a store).

        While the machine's keys change, the former ones follow.
        """
        return [ring.derive(f"purpose:{purpose}") for ring in self._keyrings()]

    def _keyrings(self) -> list[Keyring]:
        return [self._keyring, self._former] if self._former and self.is_rotating else [self._keyring]

    def _own(self, credential: str) -> CredentialClaims:
        """What this machine once signed. Raises :class:`PermissionDenied` for anything else."""
        *others, last = [ring.signing_key().public_key() for ring in self._keyrings()]
        for key in others:
            try:
                return verify(credential, key, CredentialClaims)
            except PermissionDenied:
                continue
        return verify(credential, last, CredentialClaims)

    def _sign(self, subject: str, kind: Kind, key: str, scopes: tuple[str, ...]) -> str:
        now = int(clock.wall())
        epoch = self._epochs.get(subject, 0)
        claims = CredentialClaims(subject, kind, key, scopes, epoch, now, now + CREDENTIAL_S)
        return SEPARATOR.join((self._certificate, sign(claims, self._signing_key)))

    def _tls(self, role: str) -> TlsFiles:
        return TlsFiles(
            str(self._ca_file), *(str(self._directory / f"{role}{end}") for end in (".pem", ".key"))
        )


def tls_key(keyring: Keyring, role: str) -> Ed25519PrivateKey:
    """The machine's TLS key as ``server`` or ``client``."""
    return Ed25519PrivateKey.from_private_bytes(keyring.derive("tls", role))


def request_for(name: str, hosts: Iterable[str], keyring: Keyring) -> MachineRequest:
    """What a machine with ``keyring`` asks the CA for."""

    def public(key: Ed25519PrivateKey) -> str:
        certified: Ed25519PublicKey = key.public_key()
        return encode_key(certified.public_bytes_raw())

    return MachineRequest(
        name=name,
        hosts=tuple(hosts),
        signing=public(keyring.signing_key()),
        server=public(tls_key(keyring, "server")),
        client=public(tls_key(keyring, "client")),
        leaf=keyring.nkey(LEAF).public,
    )
