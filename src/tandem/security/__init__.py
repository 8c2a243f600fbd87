"""Identities, tokens, keys and secrets.

The chain: a private CA certifies machines, a machine certifies its agents for 24 hours at spawn, an agent signs its own
five-minute tokens; anybody who knows the CA's public key verifies the whole of it alone.
"""

from tandem.core.process import forbid_dumps, is_dumpable
from tandem.security.authority import Authority
from tandem.security.epochs import EpochFile, concerns
from tandem.security.guard import Guard
from tandem.security.identity import Identity
from tandem.security.joining import Bundle, Guest, Host
from tandem.security.machine import Machine, MachineGrant, MachineRequest
from tandem.security.model import CurveKeys, IdentityMaterial, Kind, NkeyPair, Principal, TlsFiles
from tandem.security.redaction import (
    REDACTED,
    RedactedStream,
    Redactor,
    Secret,
    conceal,
    concealed,
    redact,
)
from tandem.security.secrets import SecretStore, resolve_secret
from tandem.security.trail import Throttle, Trail
from tandem.security.verifier import Verifier

__all__ = [
    "REDACTED",
    "Authority",
    "Bundle",
    "CurveKeys",
    "EpochFile",
    "Guard",
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
    "RedactedStream",
    "Redactor",
    "Secret",
    "SecretStore",
    "Throttle",
    "TlsFiles",
    "Trail",
    "Verifier",
    "conceal",
    "concealed",
    "concerns",
    "forbid_dumps",
    "is_dumpable",
    "redact",
    "resolve_secret",
]
