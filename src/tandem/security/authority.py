"""The private CA on disk, and the machines it certified.

    ca/root/      key.pem (only on the computer that founded the CA), cert.pem
    ca/machines/  <machine>/ seed, machine.jwt, {server,client}.{key,pem}: machines whose private keys are here; while a
                  machine's keys change also former (the seed before) and, for a moment, next/
    ca/known/     <machine>.jwt: public records of every machine certified here
    ca/epochs.jwt everything that was revoked, signed by the CA
    ca/lock

Directories appear by one rename, so another process sees all of a machine or nothing of it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from tandem.core import clock
from tandem.core.errors import ConfigError, NotFound, PermissionDenied
from tandem.core.files import sync_dir, write_atomic
from tandem.core.paths import FORMER_SEED, NEXT_KEYS, Home, private_dir
from tandem.security import x509
from tandem.security.files import SECRET_MODE, locked, read_secret
from tandem.security.keyring import SEED_BYTES, Keyring
from tandem.security.machine import (
    CERTIFICATE_FILE,
    SEED_FILE,
    Machine,
    MachineGrant,
    MachineRequest,
    request_for,
    tls_key,
)
from tandem.security.tokens import EpochClaims, MachineClaims, decode_key, sign, unverified, verify

PUBLIC_MODE = 0o444
EPOCHS_FILE = "epochs.jwt"
LOCAL_HOSTS = ("127.0.0.1", "localhost")


class Authority:
    """The CA below ``home``; make it with :meth:`open`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._certificate = (self.ca_file).read_bytes()
        self._public = x509.public_of(self._certificate)
        self._announcement = ""
        self._epochs: dict[str, int] = {}
        self._machines: dict[str, Machine] = {}
        self._read_epochs()

    @classmethod
    def open(cls, home: Home) -> Authority:
        """The CA of ``home``, founded now if there is none; safe against several processes at once."""
        root = private_dir(home.ca)
        if not (root / "root").exists():
            with locked(root / "lock"):
                if not (root / "root").exists():
                    pair = x509.new_authority("Tandem private CA")
                    files = {"key.pem": (pair.key, SECRET_MODE), "cert.pem": (pair.certificate, PUBLIC_MODE)}
                    place(root / "root", files)
        return cls(root)

    @property
    def ca_file(self) -> Path:
        """PEM certificate of the CA; public."""
        return self._root / "root" / "cert.pem"

    @property
    def _key_file(self) -> Path:
        return self._root / "root" / "key.pem"

    @property
    def ca_public(self) -> bytes:
        """The CA's raw 32-byte Ed25519 key; what a :class:`~tandem.security.Verifier` trusts."""
        return self._public.public_bytes_raw()

    @property
    def epochs(self) -> Mapping[str, int]:
        """What was revoked, and the first epoch that is valid again; a live view."""
        return self._epochs

    def machine(self, name: str, hosts: Iterable[str] = ()) -> Machine:
        """The machine ``name``, created now if it is new here, certified anew when ``hosts`` are not in its certificate.

        Raises :class:`ConfigError` when that needs the CA's private key and this computer does not hold it, and
        :class:`PermissionDenied` when it was removed from the fleet.
        """
        # Elsewhere only the founder could add an address, and only its own server is ever reached by one.
        wanted = tuple(dict.fromkeys((*LOCAL_HOSTS, name, *(hosts if self.founded_here else ()))))
        directory = self._root / "machines" / name
        if not self._usable(directory, wanted):
            if directory.exists() and not self.founded_here:
                raise PermissionDenied(
                    f"{name} was expelled from its fleet",
                    hint=f"to join again: move {self._root} away, and tandem machine invite {name} over there",
                )
            with locked(self._root / "lock"):
                if not self._usable(directory, wanted):
                    self._certify_here(name, wanted, directory)
                    self._machines.pop(name, None)
        if name not in self._machines:
            # While keys change, a file of the former ones may be beside one of the new.
            with locked(self._root / "lock"):
                self._complete(name)
                self._machines[name] = Machine(name, directory, self.ca_file, self.ca_public, self._epochs)
        return self._machines[name]

    def local_machines(self) -> list[str]:
        """Machines whose private keys are on this computer, by name."""
        try:
            entries = list((self._root / "machines").iterdir())
        except FileNotFoundError:
            return []
        return sorted(entry.name for entry in entries if not entry.name.startswith("."))

    def admit(self, request: MachineRequest) -> MachineGrant:
        """Certify a machine's keys. Raises :class:`ConfigError` without the CA's private key on this computer."""
        grant = self._grant(request, self._epochs.get(request.name, 0))
        self._make_known(request.name, grant.certificate.encode())
        return grant

    def _grant(self, request: MachineRequest, epoch: int) -> MachineGrant:
        pair = x509.KeyAndCertificate(self._private_key(), self._certificate)
        now = int(clock.wall())
        claims = MachineClaims(
            request.name, request.signing, request.leaf, epoch, now, now + int(x509.LIFE.total_seconds())
        )
        certificate = sign(claims, x509.load_private(pair.key))
        server, client = (
            x509.certify(
                pair, decode_key(key), f"{request.name} {role}", request.hosts, serves=role == "server"
            )
            for key, role in ((request.server, "server"), (request.client, "client"))
        )
        return MachineGrant(certificate, server, client, self._certificate, self._announcement)

    def _make_known(self, machine: str, certificate: bytes) -> None:
        known = private_dir(self._root / "known")
        write_atomic(known / f"{machine}.jwt", certificate, PUBLIC_MODE)

    def begin_rotation(self, name: str) -> None:
        """Give a machine of this computer new keys; what its former ones made stays good until :meth:`end_rotation`.

        Nothing happens when a rotation is under way. Killed at any moment, it has not begun, or is completed by whoever
        opens the machine next. Raises :class:`ConfigError` without the CA's private key on this computer.
        """
        directory = self._root / "machines" / name
        with locked(self._root / "lock"):
            self._complete(name)
            if not (directory / FORMER_SEED).exists():
                self._read_epochs()
                keyring = Keyring(os.urandom(SEED_BYTES))
                hosts = x509.hosts_of((directory / "server.pem").read_bytes())
                grant = self._grant(request_for(name, hosts, keyring), self._epochs.get(name, 0) + 1)
                former = {FORMER_SEED: (read_secret(directory / SEED_FILE), SECRET_MODE)}
                place(directory / NEXT_KEYS, former | machine_files(keyring, grant))
                self._complete(name)
        self._machines.pop(name, None)

    def end_rotation(self, name: str) -> None:
        """Refuse what the former keys of a machine made, and forget them."""
        directory = self._root / "machines" / name
        with locked(self._root / "lock"):
            self._complete(name)
            if not (directory / FORMER_SEED).exists():
                return
            claims = unverified((directory / CERTIFICATE_FILE).read_text(), MachineClaims)
            self._read_epochs()
            if self._epochs.get(name, 0) < claims.epoch:
                self._raise_epoch(name, claims.epoch)
            (directory / FORMER_SEED).unlink()
            sync_dir(directory)

    def _complete(self, name: str) -> None:
        """Put the next keys of a machine in place when they are all there; the same again after a crash. Holds the lock."""
        directory = self._root / "machines" / name
        following = directory / NEXT_KEYS
        if not following.exists():
            return
        # The former seed first: from then on nothing can be lost.
        for file in sorted(following.iterdir(), key=lambda file: file.name != FORMER_SEED):
            write_atomic(directory / file.name, file.read_bytes(), file.stat().st_mode & 0o777)
        self._make_known(name, (following / CERTIFICATE_FILE).read_bytes())
        # Not there any more in one step; what is left of it after a crash is nothing.
        done = directory / f".{NEXT_KEYS}.{os.getpid()}"
        following.rename(done)
        sync_dir(directory)
        shutil.rmtree(done)

    def record(self, machine: str) -> MachineClaims:
        """The public record of a machine certified here. Raises :class:`NotFound`, :class:`PermissionDenied` if revoked."""
        try:
            token = (self._root / "known" / f"{machine}.jwt").read_text()
        except FileNotFoundError as error:
            raise NotFound(f"no machine {machine!r} was ever certified here") from error
        claims = verify(token, self._public, MachineClaims)
        if claims.epoch < self._epochs.get(machine, 0):
            raise PermissionDenied(
                f"machine {machine} was revoked", hint="join it again with a new invitation"
            )
        return claims

    def ends_at(self, machine: str) -> int:
        """Unix seconds until which the identity of a machine of this computer, or one certified here, is good.

        Raises :class:`NotFound` for one unknown here, :class:`PermissionDenied` when it was revoked.
        """
        try:
            token = (self._root / "machines" / machine / CERTIFICATE_FILE).read_text()
        except FileNotFoundError:
            return self.record(machine).exp
        claims = verify(token, self._public, MachineClaims)
        if claims.epoch < self._epochs.get(machine, 0):
            raise PermissionDenied(f"machine {machine} was revoked")
        return claims.exp

    def signing_key_of(self, machine: str) -> str:
        """The public signing key (base64url) of a certified machine, revoked or not; empty for one never certified."""
        try:
            token = (self._root / "known" / f"{machine}.jwt").read_text()
        except FileNotFoundError:
            return ""
        return verify(token, self._public, MachineClaims).key

    def revoke(self, subject: str) -> int:
        """Make every credential and derived key of ``subject`` invalid from its new epoch on, which is returned.

        ``subject`` is ``Agent@machine``, a machine's name, or ``operator``. Verifiers learn it from
        :attr:`announcement`. Raises :class:`ConfigError` without the CA's private key on this computer.
        """
        with locked(self._root / "lock"):
            self._read_epochs()
            return self._raise_epoch(subject, self._epochs.get(subject, 0) + 1)

    def _raise_epoch(self, subject: str, epoch: int) -> int:
        key = x509.load_private(self._private_key())
        self._epochs[subject] = epoch
        self._store(sign(EpochClaims(self._epochs, int(clock.wall())), key))
        return epoch

    @property
    def epochs_file(self) -> Path:
        """Where :attr:`announcement` is on disk; public, and absent until something is revoked."""
        return self._root / EPOCHS_FILE

    def refresh(self) -> None:
        """Take over what another process of this computer revoked."""
        self._read_epochs()

    @property
    def announcement(self) -> str:
        """All revocations as signed by the CA; empty when nothing was ever revoked."""
        return self._announcement

    def merge(self, announcement: str) -> bool:
        """Take over revocations the CA announced; whether any was new. An epoch never goes back.

        Raises :class:`PermissionDenied` when the CA did not sign it.
        """
        announced = verify(announcement, self._public, EpochClaims).epochs
        if all(epoch <= self._epochs.get(subject, 0) for subject, epoch in announced.items()):
            return False
        with locked(self._root / "lock"):
            self._epochs.update(announced)
            self._store(announcement)
        return True

    @property
    def founded_here(self) -> bool:
        """Whether this computer holds the CA's private key: only it can admit machines and revoke."""
        return self._key_file.exists()

    def _private_key(self) -> bytes:
        if not self.founded_here:
            raise ConfigError(
                "this computer does not hold the CA's private key",
                hint="run this on the computer where `tandem up` ran first",
            )
        return read_secret(self._key_file)

    def _usable(self, directory: Path, hosts: Iterable[str]) -> bool:
        try:
            certificate = (directory / "server.pem").read_bytes()
            claims = unverified((directory / CERTIFICATE_FILE).read_text(), MachineClaims)
        except FileNotFoundError:
            return False
        current = claims.epoch >= self._epochs.get(directory.name, 0)
        return current and x509.still_fits(certificate, hosts)

    def _certify_here(self, name: str, hosts: tuple[str, ...], directory: Path) -> None:
        keyring = Keyring(self._seed_for(name, directory))
        grant = self.admit(request_for(name, hosts, keyring))
        install_machine(directory, keyring, grant)

    def _seed_for(self, name: str, directory: Path) -> bytes:
        """The machine's seed; a new one when there is none yet or the machine was revoked."""
        try:
            claims = unverified((directory / CERTIFICATE_FILE).read_text(), MachineClaims)
        except FileNotFoundError:
            return os.urandom(SEED_BYTES)
        if claims.epoch < self._epochs.get(name, 0):
            return os.urandom(SEED_BYTES)
        return read_secret(directory / SEED_FILE)

    def _read_epochs(self) -> None:
        try:
            self._announcement = self.epochs_file.read_text()
        except FileNotFoundError:
            return
        self._epochs.update(verify(self._announcement, self._public, EpochClaims).epochs)

    def _store(self, announcement: str) -> None:
        write_atomic(self.epochs_file, announcement.encode(), PUBLIC_MODE)
        self._announcement = announcement


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
