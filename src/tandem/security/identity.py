"""A process's own identity: signs short-lived tokens with a key that never leaves it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import PermissionDenied
from tandem.security.model import IdentityMaterial
from tandem.security.tokens import (
    SEPARATOR,
    TOKEN_S,
    CredentialClaims,
    TokenClaims,
    encode_key,
    sign,
    unverified,
)

RENEW_BEFORE_S = 60
"""A cached token is replaced this long before it expires, so that one never expires on its way."""
_CACHE_MAX = 1024


class _Cached(Struct, frozen=True):
    token: str
    made_at: float
    usable_until: float


class Identity:
    """Signs this process's tokens; made from the :class:`IdentityMaterial` received at spawn."""

    def __init__(self, material: IdentityMaterial) -> None:
        self.name = material.agent_id
        self._key = Ed25519PrivateKey.from_private_bytes(material.private_key)
        self._cache: dict[tuple[str, tuple[str, ...]], _Cached] = {}
        self.renew(material.credential)

    @property
    def credential(self) -> str:
        """What the machine signed; public, and what :meth:`Machine.renew` wants to see."""
        return self._credential

    @property
    def expires_at(self) -> int:
        """Unix seconds at which the credential ends; ask the machine for a new one well before."""
        return self._claims.exp

    def renew(self, credential: str) -> None:
        """Use ``credential`` from now on. Raises :class:`PermissionDenied` when it certifies another name or key."""
        claims = unverified(credential.rpartition(SEPARATOR)[2], CredentialClaims)
        if claims.key != encode_key(self._key.public_key().public_bytes_raw()):
            raise PermissionDenied("the credential certifies another key than this process holds")
        if claims.sub != self.name:
            raise PermissionDenied(f"the credential of {claims.sub} was given to {self.name}")
        self._credential, self._claims = credential, claims
        self._cache.clear()

    def token(self, audience: str, scopes: tuple[str, ...] = ()) -> str:
        """A token for ``audience`` (the peer's ``Name@machine``), the same one until shortly before it expires.

        After the clock was set back it is made anew: the old one would come from the future.

        ``scopes`` narrows what the credential grants; empty claims all of it.
        """
        now = clock.wall()
        cached = self._cache.get((audience, scopes))
        if cached is not None and cached.made_at <= now < cached.usable_until:
            return cached.token
        expires = min(int(now) + TOKEN_S, self._claims.exp)
        claims = TokenClaims(self._claims.sub, audience, scopes or self._claims.scopes, int(now), expires)
        token = SEPARATOR.join((self._credential, sign(claims, self._key)))
        if len(self._cache) >= _CACHE_MAX:
            self._cache.clear()
        self._cache[audience, scopes] = _Cached(token, now, expires - RENEW_BEFORE_S)
        return token
