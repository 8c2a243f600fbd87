"""Every long-lived key of a machine, derived from one 32-byte seed.

A derived key needs no file of its own, exists before anybody asks for it, is the same after a crash, and one file is
all there is to back up. The epoch is part of the derivation, so revoking a subject gives it new keys.
"""

from __future__ import annotations

import base64

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tandem.security.model import CurveKeys, NkeyPair

SEED_BYTES = 32


class Keyring:
    """Derives keys by HKDF-SHA256 (RFC 5869) with ``purpose``, ``name`` and ``epoch`` as context."""

    def __init__(self, seed: bytes) -> None:
        if len(seed) != SEED_BYTES:
            raise ValueError(f"a keyring's seed has {SEED_BYTES} bytes, not {len(seed)}")
        self.seed = seed

    def derive(self, purpose: str, name: str = "", epoch: int = 0) -> bytes:
        """32 bytes that nobody without the seed can tell from random."""
        info = "\0".join(("tandem", purpose, name, str(epoch))).encode()
        return HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(self.seed)

    def signing_key(self) -> Ed25519PrivateKey:
        """The key with which the machine signs credentials."""
        return Ed25519PrivateKey.from_private_bytes(self.derive("signing"))

    def password(self, purpose: str, name: str, epoch: int = 0) -> str:
        """A 43-character password of 256 bits."""
        return base64.urlsafe_b64encode(self.derive(purpose, name, epoch)).rstrip(b"=").decode()

    def curve(self, name: str, epoch: int = 0) -> CurveKeys:
        """The CurveZMQ pair of ``name``. Any 32 bytes are a Curve25519 secret key (RFC 7748, 5)."""
        # Here, not at the top: processes that only sign or verify tokens should not load libzmq.
        import zmq
        from zmq.utils import z85

        secret = z85.encode(self.derive("curve", name, epoch))
        return CurveKeys(public=zmq.curve_public(secret), secret=secret)

    def nkey(self, name: str, epoch: int = 0) -> NkeyPair:
        """The NATS user key of ``name``."""
        # Here for the same reason: it loads libsodium.
        import nkeys  # type: ignore[import-untyped]

        seed = nkeys.encode_seed(self.derive("nkey", name, epoch), nkeys.PREFIX_BYTE_USER)
        return NkeyPair(public=nkeys.from_seed(bytearray(seed)).public_key.decode(), seed=bytes(seed))
