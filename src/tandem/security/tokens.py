"""The signed statements of the chain, each a compact JWS (RFC 7515) signed with Ed25519 (RFC 8037).

    CA       signs  MachineClaims     "this key is machine mainpc"              valid for years
    machine  signs  CredentialClaims  "this key is NLUAgent@mainpc"             valid for 24 hours
    agent    signs  TokenClaims       "I call MemoryClient@mainpc, scopes …"    valid for 5 minutes
    CA       signs  EpochClaims       "what is older than this is revoked"      never ends, only grows

The first three travel joined by ``~`` instead of nested, because nesting would encode the inner ones in base64 once more each.
The ``typ`` claim keeps one kind from passing for another (RFC 8725, 3.11).
"""

from __future__ import annotations

import base64
import binascii
from typing import Final, TypeVar

import jwt
import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from msgspec import Struct

from tandem.core.errors import PermissionDenied
from tandem.security.model import Kind

TOKEN_S: Final = 300
"""Life of an agent's own token (seconds)."""
CREDENTIAL_S: Final = 24 * 3600
"""Life of the credential a machine signs at spawn; also the longest a revocation can go unnoticed over a cut link."""
LEEWAY_S: Final = 30
"""How far two computers' clocks may be apart."""
SET_BACK_S: Final = CREDENTIAL_S
"""How far a clock may be set back before certificates and credentials issued until then are refused as not yet valid.

An agent renews its credential as soon as it sees the clock set back; tokens are made anew at once and need no such room.
"""
SEPARATOR: Final = "~"

_ALGORITHM: Final = "EdDSA"
_jws = jwt.PyJWS(algorithms=[_ALGORITHM])


class MachineClaims(Struct, frozen=True, tag_field="typ", tag="tandem-machine+jwt"):
    """Signed by the CA. ``leaf`` is the public nkey with which the machine's nats-server links to its hub."""

    sub: str
    key: str
    leaf: str
    epoch: int
    iat: int
    exp: int


class CredentialClaims(Struct, frozen=True, tag_field="typ", tag="tandem-credential+jwt"):
    """Signed by a machine. ``scopes`` is the most its holder may claim."""

    sub: str
    kind: Kind
    key: str
    scopes: tuple[str, ...]
    epoch: int
    iat: int
    exp: int


class TokenClaims(Struct, frozen=True, tag_field="typ", tag="tandem-token+jwt"):
    """Signed by the caller itself, for one audience. ``jti`` (RFC 7519, 4.1.7) is another one for each token."""

    sub: str
    aud: str
    scopes: tuple[str, ...]
    iat: int
    exp: int
    jti: str = ""


class EpochClaims(Struct, frozen=True, tag_field="typ", tag="tandem-epochs+jwt"):
    """Signed by the CA: per subject (``Name@machine``, a machine, ``operator``) the first epoch that is valid."""

    epochs: dict[str, int]
    iat: int


Claims = TypeVar("Claims", MachineClaims, CredentialClaims, TokenClaims, EpochClaims)


def sign(claims: Struct, key: Ed25519PrivateKey) -> str:
    """``claims`` as a compact JWS."""
    return _jws.encode(msgspec.json.encode(claims), key, _ALGORITHM)


def verify(token: str, key: Ed25519PublicKey, kind: type[Claims]) -> Claims:
    """The claims of ``token`` once its signature and type hold; expiry and audience are the caller's business.

    Raises :class:`PermissionDenied`.
    """
    try:
        return msgspec.json.decode(_jws.decode(token, key, algorithms=[_ALGORITHM]), type=kind)
    except (jwt.InvalidTokenError, msgspec.MsgspecError, UnicodeError) as error:
        raise PermissionDenied(f"not a valid {kind.__name__}: {error}") from error


def unverified(token: str, kind: type[Claims]) -> Claims:
    """The claims of a token the caller already trusts, because it received it together with its own private key."""
    try:
        payload = token.split(".")[1]
        return msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)), type=kind)
    except (IndexError, binascii.Error, msgspec.MsgspecError, UnicodeError) as error:
        raise PermissionDenied(f"not a {kind.__name__}: {error}") from error


def encode_key(raw: bytes) -> str:
    """A raw 32-byte public key as unpadded base64url."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def decode_key(text: str) -> Ed25519PublicKey:
    """The key :func:`encode_key` wrote; raises :class:`PermissionDenied` when it is none."""
    try:
        return Ed25519PublicKey.from_public_bytes(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except (ValueError, binascii.Error) as error:
        raise PermissionDenied("malformed public key in a credential") from error
