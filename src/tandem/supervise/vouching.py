"""What a node adds to its heartbeats, so that the others know which identity its machine has now.

A machine whose identity was revoked may join anew within moments, and the servers between it and us come back in any
order. So nobody concludes from a link that was down and is up whom it leads to: a token says so, as between agents.
"""

from __future__ import annotations

from tandem.core import clock
from tandem.core.errors import PermissionDenied
from tandem.security import Authority, Identity, Machine, Verifier
from tandem.security.tokens import CREDENTIAL_S

AUDIENCE = "presence"
"""No agent's name, so the token is good for nothing else."""
_FRESH_S = CREDENTIAL_S / 2
_NODE = "node"


class Vouching:
    """Proves the identity of ``machine``, and checks what its peers show."""

    def __init__(self, authority: Authority, machine: Machine):
        self._authority = authority
        self._machine = machine
        self._issued_at = clock.wall()
        self._identity = self._issue()

    def proof(self) -> str:
        """A token of this machine's node, good for five minutes at most."""
        if not self._issued_at <= clock.wall() < self._issued_at + _FRESH_S:
            self._issued_at = clock.wall()
            self._identity = self._issue()
        return self._identity.token(AUDIENCE)

    def accepts(self, peer: str, proof: str) -> bool:
        """Whether ``proof`` is of the node of ``peer``, under an identity that is not revoked as far as is known here."""
        try:
            shown = Verifier(self._authority.ca_public, self._authority.epochs).verify(proof, AUDIENCE)
        except PermissionDenied:
            return False
        return shown.name == f"{_NODE}@{peer}" and shown.kind == "node"

    def _issue(self) -> Identity:
        return Identity(self._machine.issue(self._machine.agent(_NODE), "node"))
