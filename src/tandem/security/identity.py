"""A process's own identity: signs short-lived tokens with a key that never leaves it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tandem.core import clock
from tandem.core.errors import PermissionDenied
from tandem.core.ids import new_id
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


class Identity:
    """Signs this process's tokens; made from the :class:`IdentityMaterial` received at spawn."""

    def __init__(self, material: IdentityMaterial) -> None:
        self.name = material.agent_id
        self._key = Ed25519PrivateKey.from_private_bytes(material.private_key)
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

    def token(self, audience: str, scopes: tuple[str, ...] = ()) -> str:
        """A new token for ``audience`` (the peer's ``Name@machine``), to be shown once: see :meth:`Verifier.admit`.

        ``scopes`` narrows what the credential grants; empty claims all of it.
        """
        now = int(clock.wall())
        expires = min(now + TOKEN_S, self._claims.exp)
        claims = TokenClaims(self.name, audience, scopes or self._claims.scopes, now, expires, new_id())
        return SEPARATOR.join((self._credential, sign(claims, self._key)))
