"""A machine's folder of the CA: what is in it, which of that is damaged, and how it is written in one step."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tandem.core.errors import ConfigError, PermissionDenied
from tandem.core.files import sync_dir, write_atomic
from tandem.core.paths import private_dir
from tandem.security import x509
from tandem.security.files import SECRET_MODE, read_secret
from tandem.security.keyring import Keyring
from tandem.security.machine import CERTIFICATE_FILE, SEED_FILE, MachineGrant, tls_key
from tandem.security.tokens import MachineClaims, encode_key, verify

PUBLIC_MODE = 0o444
ROLES = ("server", "client")


def claims_in(path: Path, authority: Ed25519PublicKey) -> MachineClaims:
    """What the CA signed of a machine. Raises ``FileNotFoundError``, :class:`PermissionDenied` when it is damaged."""
    try:
        return verify(path.read_bytes().decode(errors="replace"), authority, MachineClaims)
    except PermissionDenied as error:
        hint = "restore it from a backup, or move it away and let that computer join again"
        raise PermissionDenied(f"{path} is damaged: {error.message}", hint=hint) from error


def damaged(directory: Path, authority: Ed25519PublicKey) -> list[str]:
    """Names of a machine's files that are missing or wrong: not made of its seed, or not signed by the CA.

    The seed is wrong when it is not the one the CA certified; then nothing can be said of the others.
    """
    try:
        keyring = Keyring(read_secret(directory / SEED_FILE))
    except (ConfigError, ValueError):
        return [SEED_FILE]
    own = encode_key(keyring.signing_key().public_key().public_bytes_raw())
    try:
        if claims_in(directory / CERTIFICATE_FILE, authority).key != own:
            return [SEED_FILE]
        found = []
    except (OSError, PermissionDenied):
        found = [CERTIFICATE_FILE]
    for role in ROLES:
        key = tls_key(keyring, role)
        private, certificate = directory / f"{role}.key", directory / f"{role}.pem"
        if not _is(lambda path: path.read_bytes(), private, x509.private_pem(key)):
            found.append(private.name)
        if not _is(lambda path: x509.public_of(path.read_bytes()), certificate, key.public_key()):
            found.append(certificate.name)
    return found


def _is(read: Callable[[Path], object], path: Path, expected: object) -> bool:
    try:
        return read(path) == expected
    except (OSError, ValueError):
        return False


def machine_files(keyring: Keyring, grant: MachineGrant) -> dict[str, tuple[bytes, int]]:
    """A certified machine as files: name to content and mode."""
    files: dict[str, tuple[bytes, int]] = {
        SEED_FILE: (keyring.seed, SECRET_MODE),
        CERTIFICATE_FILE: (grant.certificate.encode(), PUBLIC_MODE),
    }
    for role, certificate in (("server", grant.server), ("client", grant.client)):
        files[f"{role}.key"] = (x509.private_pem(tls_key(keyring, role)), SECRET_MODE)
        files[f"{role}.pem"] = (certificate, PUBLIC_MODE)
    return files


def install_machine(directory: Path, keyring: Keyring, grant: MachineGrant) -> None:
    """Put a certified machine on disk, replacing an older certificate of the same name."""
    files = machine_files(keyring, grant)
    private_dir(directory.parent)
    if directory.exists():
        # File by file, the certificates last: until one of them is replaced this machine still counts as due.
        for name, (data, mode) in files.items():
            write_atomic(directory / name, data, mode)
    else:
        place(directory, files)


def place(directory: Path, files: Mapping[str, tuple[bytes, int]]) -> None:
    """Create ``directory`` with ``files`` (content, mode) in one step."""
    temporary = Path(tempfile.mkdtemp(dir=directory.parent, prefix=f".{directory.name}."))
    try:
        for name, (data, mode) in files.items():
            write_atomic(temporary / name, data, mode)
        temporary.rename(directory)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
    sync_dir(directory.parent)
