"""Passwords and API keys by reference: a fleet file names a secret, it never contains one.

``secret:NAME``        from ``/run/secrets/NAME`` (containers), else from this machine's encrypted store
``secret-file:PATH``   from a file only this uid can read
``secret-env:NAME``    from the environment of ``tandem up``, where nobody else gets to see it
"""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from tandem.core.damage import UNREADABLE
from tandem.core.errors import ConfigError, NotFound
from tandem.core.files import write_atomic
from tandem.core.paths import Home, private_dir
from tandem.core.secret_refs import REFERENCE, is_reference
from tandem.security.files import SECRET_MODE, locked, read_secret
from tandem.security.machine import Machine
from tandem.security.redaction import Secret

RUN_SECRETS: Final = Path("/run/secrets")
PURPOSE: Final = "secret store"
"""Of the key a store is encrypted with; see :meth:`Machine.secrets`."""
_NONCE_BYTES: Final = 12
_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


def filled(value: Any, resolve: Callable[[str], Secret], found: list[str]) -> Any:
    """``value`` (plain data) with every reference replaced by what ``resolve`` says; ``found`` collects the secrets."""
    if isinstance(value, str):
        if not is_reference(value):
            return value
        found.append(resolve(value).reveal())
        return found[-1]
    if isinstance(value, Mapping):
        return {key: filled(inner, resolve, found) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [filled(inner, resolve, found) for inner in value]
    return value


class SecretStore:
    """Named secrets of one machine, encrypted with a key derived from the machine's seed (ChaCha20-Poly1305, RFC 8439).

    The encryption protects copies and backups of the store, not against somebody who can read the seed as well.
    """

    def __init__(self, home: Home, machine: Machine) -> None:
        self._directory = home.root / "secrets"
        self._path = self._directory / f"{machine.name}.json"
        self._machine = machine

    def names(self) -> list[str]:
        """Names only, sorted."""
        return sorted(self._read())

    def get(self, name: str) -> Secret:
        """Raises :class:`NotFound`, or :class:`ConfigError` when the store belongs to another machine or was changed."""
        sealed = self._read().get(name)
        if sealed is None:
            raise NotFound(f"there is no secret {name!r}", hint=f"tandem secrets set {name}")
        plain = self._opened(name, sealed)
        if plain is None:
            raise ConfigError(
                f"the secret {name!r} cannot be decrypted with this machine's key",
                hint=f"tandem secrets set {name}",
            )
        return Secret(plain.decode())

    def put(self, name: str, value: Secret) -> None:
        """Add or replace; durable on return.

        Raises :class:`ConfigError` for a name that is none, and when the machine got other keys since this was opened.
        """
        check_name(name)
        with locked(private_dir(self._directory) / "lock"):
            self._require_current()
            self._write({**self._read(), name: self._seal(name, value)})

    def delete(self, name: str) -> None:
        """Raises :class:`NotFound` when there is none."""
        with locked(private_dir(self._directory) / "lock"):
            known = self._read()
            if known.pop(name, None) is None:
                raise NotFound(f"there is no secret {name!r}")
            self._write(known)

    def reseal(self) -> int:
        """Encrypt everything with the machine's newest key, in one step; how many secrets there are.

        One that no key opens stays as it is. Raises as :meth:`put` does.
        """
        with locked(private_dir(self._directory) / "lock"):
            self._require_current()
            sealed = self._read()
            opened = {name: self._opened(name, value) for name, value in sealed.items()}
            fresh = {name: self._seal(name, Secret(plain.decode())) for name, plain in opened.items() if plain is not None}
            if fresh:
                self._write(sealed | fresh)
            return len(fresh)

    def _seal(self, name: str, value: Secret) -> str:
        nonce = os.urandom(_NONCE_BYTES)
        sealed = nonce + self._ciphers()[0].encrypt(nonce, value.reveal().encode(), name.encode())
        return base64.b64encode(sealed).decode()

    def _opened(self, name: str, sealed: str) -> bytes | None:
        for cipher in self._ciphers():
            try:
                raw = base64.b64decode(sealed)
                return cipher.decrypt(raw[:_NONCE_BYTES], raw[_NONCE_BYTES:], name.encode())
            except (InvalidTag, ValueError):
                continue
        return None

    def _ciphers(self) -> list[ChaCha20Poly1305]:
        """The newest first."""
        return [ChaCha20Poly1305(key) for key in self._machine.secrets(PURPOSE)]

    def _require_current(self) -> None:
        """What is sealed with keys that were rotated away meanwhile, nobody could open again."""
        if not self._machine.is_current:
            raise ConfigError("the machine's keys were changed meanwhile", hint="the same command again")

    def _read(self) -> dict[str, str]:
        if not self._path.exists():
            return {}
        try:
            return msgspec.json.decode(read_secret(self._path), type=dict[str, str])
        except UNREADABLE as error:
            raise ConfigError(f"{self._path} is damaged: {error}", hint="restore it from a backup") from error

    def _write(self, sealed: dict[str, str]) -> None:
        write_atomic(self._path, msgspec.json.encode(sealed), SECRET_MODE)


def check_name(name: str) -> str:
    """``name`` when it can name a secret, else :class:`ConfigError`."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a secret", hint="use letters, digits, dots, - and _")
    return name


def resolve_secret(
    reference: str,
    store: SecretStore,
    run_secrets: Path = RUN_SECRETS,
    environ: Mapping[str, str] = MappingProxyType({}),
) -> Secret:
    """What a reference stands for; one trailing line break is not part of a file's secret.

    ``environ`` answers ``secret-env:``. Raises :class:`NotFound` or :class:`ConfigError`, which name the reference and
    never the value.
    """
    match = REFERENCE.fullmatch(reference)
    if match is None:
        raise ConfigError(
            "not a reference to a secret", hint="write secret:NAME, secret-file:PATH or secret-env:NAME"
        )
    scheme, rest = match.groups()
    if scheme == "secret-file":
        return _from_file(Path(rest).expanduser())
    if scheme == "secret-env":
        if rest not in environ:
            raise NotFound(f"${rest} was not set when the fleet was started", hint="tandem down, then tandem up with it")
        return Secret(environ[rest])
    mounted = run_secrets / check_name(rest)
    # Whoever mounts this folder decides its permissions; orchestrators make it world-readable within the container.
    return Secret(_text(mounted.read_bytes(), mounted)) if mounted.is_file() else store.get(rest)


def _from_file(path: Path) -> Secret:
    return Secret(_text(read_secret(path), path))


def _text(raw: bytes, path: Path) -> str:
    try:
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not text") from error
