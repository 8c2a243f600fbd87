"""The private CA's certificates for TLS, all Ed25519 (RFC 8410)."""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

LIFE = dt.timedelta(days=3650)
"""Nobody renews the certificates of a home by hand; what must end sooner is revoked by epoch."""
RENEW_BEFORE = dt.timedelta(days=90)
_BACKDATE = dt.timedelta(days=1)
"""A computer whose clock is a few hours behind must still accept a fresh certificate."""


class KeyAndCertificate(Struct, frozen=True):
    """PEM bytes of a private key (PKCS #8) and of its certificate."""

    key: bytes
    certificate: bytes


def private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def load_private(pem: bytes) -> Ed25519PrivateKey:
    """The Ed25519 key in ``pem``; raises ``ValueError`` for anything else."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("not an Ed25519 key")
    return key


def public_of(certificate: bytes) -> Ed25519PublicKey:
    """The Ed25519 key a PEM certificate certifies; raises ``ValueError`` for anything else."""
    key = x509.load_pem_x509_certificate(certificate).public_key()
    if not isinstance(key, Ed25519PublicKey):
        raise ValueError("not an Ed25519 certificate")
    return key


def new_authority(name: str) -> KeyAndCertificate:
    """A self-signed CA that may sign leaves but no further CA."""
    key = Ed25519PrivateKey.generate()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, subject, key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return KeyAndCertificate(private_pem(key), _pem(builder.sign(key, None)))


def certify(
    authority: KeyAndCertificate, public: Ed25519PublicKey, name: str, hosts: Iterable[str], *, serves: bool
) -> bytes:
    """A leaf certificate for ``public``: good as a client, and as a server at ``hosts`` when it ``serves``."""
    issuer_key = load_private(authority.key)
    issuer = x509.load_pem_x509_certificate(authority.certificate).subject
    usages = [ExtendedKeyUsageOID.CLIENT_AUTH] + ([ExtendedKeyUsageOID.SERVER_AUTH] if serves else [])
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        _builder(subject, issuer, public)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(host) for host in hosts]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
    )
    return _pem(builder.sign(issuer_key, None))


def still_fits(certificate: bytes, hosts: Iterable[str]) -> bool:
    """Whether a leaf names all ``hosts`` and is far from its end."""
    leaf = x509.load_pem_x509_certificate(certificate)
    named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    far = leaf.not_valid_after_utc - dt.datetime.now(dt.UTC) > RENEW_BEFORE
    return far and {_general_name(host) for host in hosts} <= set(named)


def hosts_of(certificate: bytes) -> list[str]:
    """The names and addresses a leaf is good for."""
    leaf = x509.load_pem_x509_certificate(certificate)
    named = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [str(name.value) for name in named]


def _builder(subject: x509.Name, issuer: x509.Name, public: Ed25519PublicKey) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATE)
        .not_valid_after(now + LIFE)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
