"""Checks who is calling: CA → machine → credential → token, without asking anybody."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from msgspec import Struct

from tandem.core import clock
from tandem.core.errors import PermissionDenied
from tandem.security.model import Principal
from tandem.security.tokens import (
    CREDENTIAL_S,
    LEEWAY_S,
    SEPARATOR,
    SET_BACK_S,
    TOKEN_S,
    CredentialClaims,
    EpochClaims,
    MachineClaims,
    TokenClaims,
    decode_key,
    verify,
)

_CACHE_MAX = 2048
SHOWN_MAX = 65_536
"""Tokens remembered as shown; of more within six minutes the oldest are forgotten. Only members can add to them."""
_NUMBER_MAX = 64
"""Characters of a token's number that count, so that nobody can make this remember much."""


class _Credential(Struct, frozen=True):
    """A credential whose signatures hold; its times and epochs are looked at on every use."""

    machine: MachineClaims
    claims: CredentialClaims
    key: Ed25519PublicKey


class Verifier:
    """Verifies tokens against one CA.

    The two upper signatures of a caller are checked once and remembered, so a further token of the same caller costs
    one Ed25519 verification. ``epochs`` maps what was revoked (``Agent@machine``, a machine, ``operator``) to the
    first epoch that is valid again.
    """

    def __init__(
        self, ca_public: bytes, epochs: Mapping[str, int] | None = None, *, leeway_s: float = LEEWAY_S
    ) -> None:
        self._ca = Ed25519PublicKey.from_public_bytes(ca_public)
        self._epochs = dict(epochs or {})
        self._leeway = leeway_s
        self._known: OrderedDict[str, _Credential] = OrderedDict()
        self._shown: OrderedDict[tuple[str, str], float] = OrderedDict()
        """Who showed which token, until when (monotonic seconds) that is of interest."""

    def learn(self, announcement: str) -> list[str]:
        """Take over revocations the CA announced; the subjects newly revoked, whose connections should end.

        Raises :class:`PermissionDenied` when the CA did not sign it. An old announcement changes nothing.
        """
        claims = verify(announcement, self._ca, EpochClaims)
        revoked = [
            subject for subject, epoch in claims.epochs.items() if epoch > self._epochs.get(subject, 0)
        ]
        self._epochs.update((subject, claims.epochs[subject]) for subject in revoked)
        return revoked

    def epoch(self, subject: str) -> int:
        """The first epoch of ``subject`` that is valid; what was granted under a smaller one is revoked."""
        return self._epochs.get(subject, 0)

    def verify(self, token: str, audience: str) -> Principal:
        """Who signed ``token`` for ``audience``.

        Raises :class:`PermissionDenied`: malformed, forged, expired, not yet valid, for somebody else, revoked, or
        claiming scopes it was not granted.
        """
        return self._verified(token, audience)[0]

    def admit(self, token: str, audience: str) -> Principal:
        """As :meth:`verify`, for one connection: a token that was admitted here before is refused, so a copy is worth nothing.

        A verifier remembers what it has admitted itself, and nothing across a restart.
        """
        principal, claims = self._verified(token, audience)
        # A release that did not number its tokens may still call; nobody but the signer can leave the number out.
        if claims.jti and not self._is_first(claims.sub, claims.jti[:_NUMBER_MAX]):
            raise PermissionDenied(f"the token of {claims.sub} was shown before")
        return principal

    def _is_first(self, subject: str, number: str) -> bool:
        now = clock.monotonic()
        while self._shown and (len(self._shown) >= SHOWN_MAX or next(iter(self._shown.values())) <= now):
            self._shown.popitem(last=False)
        if (subject, number) in self._shown:
            return False
        # Issued by a clock that is ahead, and taken for a while after its end by one that is behind.
        self._shown[subject, number] = now + TOKEN_S + 2 * self._leeway
        return True

    def _verified(self, token: str, audience: str) -> tuple[Principal, TokenClaims]:
        chain, _, own = token.rpartition(SEPARATOR)
        credential = self._credential(chain)
        granted = credential.claims
        claims = verify(own, credential.key, TokenClaims)
        if claims.sub != granted.sub:
            raise PermissionDenied(f"{granted.sub} signed a token in the name of {claims.sub}")
        if not audience or claims.aud != audience:
            raise PermissionDenied(f"the token of {claims.sub} is for {claims.aud!r}, not for {audience!r}")
        if not set(claims.scopes) <= set(granted.scopes):
            raise PermissionDenied(f"{claims.sub} claims scopes it was not granted")
        self._check_times(f"the token of {claims.sub}", claims.iat, claims.exp, TOKEN_S, self._leeway)
        return Principal(claims.sub, granted.kind, claims.scopes), claims

    def _credential(self, chain: str) -> _Credential:
        known = self._known.get(chain)
        if known is None:
            known = self._check_chain(chain)
            if len(self._known) >= _CACHE_MAX:
                self._known.popitem(last=False)
            self._known[chain] = known
        else:
            self._known.move_to_end(chain)
        machine, claims = known.machine, known.claims
        self._check_times(f"the certificate of {machine.sub}", machine.iat, machine.exp, None, SET_BACK_S)
        self._check_times(f"the credential of {claims.sub}", claims.iat, claims.exp, CREDENTIAL_S, SET_BACK_S)
        for subject, epoch in ((machine.sub, machine.epoch), (claims.sub, claims.epoch)):
            if epoch < self._epochs.get(subject, 0):
                raise PermissionDenied(f"the credentials of {subject} were revoked")
        return known

    def _check_chain(self, chain: str) -> _Credential:
        machine_part, _, credential_part = chain.partition(SEPARATOR)
        machine = verify(machine_part, self._ca, MachineClaims)
        claims = verify(credential_part, decode_key(machine.key), CredentialClaims)
        if claims.kind in ("agent", "node") and claims.sub.partition("@")[2] != machine.sub:
            raise PermissionDenied(f"machine {machine.sub} may not certify {claims.sub}")
        if claims.kind in ("operator", "user") and "@" in claims.sub:
            raise PermissionDenied(f"{claims.sub} is no name of a person")
        return _Credential(machine, claims, decode_key(claims.key))

    def _check_times(self, what: str, issued: int, expires: int, longest: int | None, ahead_s: float) -> None:
        now = clock.wall()
        if now > expires + self._leeway:
            raise PermissionDenied(f"{what} expired {now - expires:.0f} s ago")
        if issued > now + ahead_s:
            raise PermissionDenied(
                f"{what} was issued in the future", hint="compare the clocks of the computers"
            )
        if longest is not None and expires - issued > longest:
            raise PermissionDenied(f"{what} is valid for longer than {longest} s")
