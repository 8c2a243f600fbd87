"""Identities, tokens, keys and secrets.

The chain: a private CA certifies machines, a machine certifies its agents for 24 hours at spawn, an agent signs its own
five-minute tokens; anybody who knows the CA's public key verifies the whole of it alone.
"""

from tandem.security.authority import Authority
from tandem.security.identity import Identity
from tandem.security.joining import Guest, Host
from tandem.security.machine import Machine, MachineGrant, MachineRequest
from tandem.security.model import CurveKeys, IdentityMaterial, Kind, NkeyPair, Principal, TlsFiles
from tandem.security.process import forbid_dumps, is_dumpable
from tandem.security.redaction import REDACTED, Redactor, Secret, redact
from tandem.security.secrets import SecretStore, is_reference, resolve_secret
from tandem.security.verifier import Verifier

__all__ = [
    "REDACTED",
    "Authority",
    "CurveKeys",
    "Guest",
    "Host",
    "Identity",
    "IdentityMaterial",
    "Kind",
    "Machine",
    "MachineGrant",
    "MachineRequest",
    "NkeyPair",
    "Principal",
    "Redactor",
    "Secret",
    "SecretStore",
    "TlsFiles",
    "Verifier",
    "forbid_dumps",
    "is_dumpable",
    "is_reference",
    "redact",
    "resolve_secret",
]
