"""Passwords and API keys by reference: a fleet file names a secret, it never contains one.

``secret:NAME``   from ``/run/secrets/NAME`` (containers), else from this machine's encrypted store
``file:PATH``     from a file only this uid can read
"""

from __future__ import annotations

import base64
import os
import re
from pathlib import Path
from typing import Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tandem.core.errors import ConfigError, NotFound
from tandem.core.paths import Home, private_dir
from tandem.security.files import SECRET_MODE, locked, read_secret, write_atomic
from tandem.security.machine import Machine
from tandem.security.redaction import Secret

RUN_SECRETS: Final = Path("/run/secrets")
_NONCE_BYTES: Final = 12
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_REFERENCE: Final = re.compile(r"(secret|file):(.+)", re.DOTALL)


def is_reference(value: str) -> bool:
    """Whether a setting's text names a secret instead of being one."""
    return _REFERENCE.fullmatch(value) is not None


class SecretStore:
    """Named secrets of one machine, encrypted with a key derived from the machine's seed (ChaCha20-Poly1305, RFC 8439).

    The encryption protects copies and backups of the store, not against somebody who can read the seed as well.
    """

    def __init__(self, home: Home, machine: Machine) -> None:
        self._directory = home.root / "secrets"
        self._path = self._directory / f"{machine.name}.json"
        self._cipher = ChaCha20Poly1305(machine.secret("secret store"))

    def names(self) -> list[str]:
        """Names only, sorted."""
        return sorted(self._read())

    def get(self, name: str) -> Secret:
        """Raises :class:`NotFound`, or :class:`ConfigError` when the store belongs to another machine or was changed."""
        sealed = self._read().get(name)
        if sealed is None:
            raise NotFound(f"there is no secret {name!r}", hint=f"tandem secrets set {name}")
        raw = base64.b64decode(sealed)
        try:
            plain = self._cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], name.encode())
        except InvalidTag as error:
            raise ConfigError(
                f"the secret {name!r} cannot be decrypted with this machine's key",
                hint=f"tandem secrets set {name}",
            ) from error
        return Secret(plain.decode())

    def put(self, name: str, value: Secret) -> None:
        """Add or replace; durable on return. Raises :class:`ConfigError` for a name that is none."""
        if not _NAME.fullmatch(name):
            raise ConfigError(f"{name!r} cannot name a secret", hint="use letters, digits, dots, - and _")
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._cipher.encrypt(nonce, value.reveal().encode(), name.encode())
        with locked(private_dir(self._directory) / "lock"):
            self._write({**self._read(), name: base64.b64encode(sealed).decode()})

    def delete(self, name: str) -> None:
        """Raises :class:`NotFound` when there is none."""
        with locked(private_dir(self._directory) / "lock"):
            known = self._read()
            if known.pop(name, None) is None:
                raise NotFound(f"there is no secret {name!r}")
            self._write(known)

    def _read(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        try:
            return msgspec.json.decode(read_secret(self._path), type=dict[str, str])
        except msgspec.MsgspecError as error:
            raise ConfigError(f"{self._path} is damaged: {error}", hint="restore it from a backup") from error

    def _write(self, sealed: dict[str, str]) -> None:
        write_atomic(self._path, msgspec.json.encode(sealed), SECRET_MODE)


def resolve_secret(reference: str, store: SecretStore, run_secrets: Path = RUN_SECRETS) -> Secret:
    """What a reference stands for; one trailing line break is not part of a file's secret.

    Raises :class:`NotFound` or :class:`ConfigError`, which name the reference and never the value.
    """
    match = _REFERENCE.fullmatch(reference)
    if match is None:
        raise ConfigError("not a reference to a secret", hint="write secret:NAME or file:PATH")
    scheme, rest = match.groups()
    if scheme == "file":
        return _from_file(Path(rest).expanduser())
    if not _NAME.fullmatch(rest):
        raise ConfigError(f"{rest!r} cannot name a secret", hint="use letters, digits, dots, - and _")
    mounted = run_secrets / rest
    # Whoever mounts this folder decides its permissions; orchestrators make it world-readable within the container.
    return Secret(_text(mounted.read_bytes(), mounted)) if mounted.is_file() else store.get(rest)


def _from_file(path: Path) -> Secret:
    return Secret(_text(read_secret(path), path))


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text") from error
