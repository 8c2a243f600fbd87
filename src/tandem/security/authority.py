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

import contextlib
import logging
import os
import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

from tandem.core import clock
from tandem.core.damage import set_aside
from tandem.core.errors import ConfigError, NotFound, PermissionDenied
from tandem.core.files import sync_dir, write_atomic
from tandem.core.paths import FORMER_SEED, NEXT_KEYS, Home, private_dir
from tandem.security import x509
from tandem.security.files import SECRET_MODE, locked, read_secret
from tandem.security.folder import PUBLIC_MODE, claims_in, damaged, install_machine, machine_files, place
from tandem.security.keyring import SEED_BYTES, Keyring
from tandem.security.machine import (
    CERTIFICATE_FILE,
    SEED_FILE,
    Machine,
    MachineGrant,
    MachineRequest,
    request_for,
)
from tandem.security.tokens import EpochClaims, MachineClaims, decode_key, sign, unverified, verify

EPOCHS_FILE = "epochs.jwt"
LOCAL_HOSTS = ("127.0.0.1", "localhost")
FROM_BACKUP = "restore it from a backup"

log = logging.getLogger("tandem.security")


class Authority:
    """The CA below ``home``; make it with :meth:`open`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        try:
            self._certificate = self.ca_file.read_bytes()
            self._public = x509.public_of(self._certificate)
        except (OSError, ValueError) as error:
            raise ConfigError(f"{self.ca_file} is damaged: {error}", hint=FROM_BACKUP) from error
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

        Files of it that are damaged are made anew from its seed, with the same keys. Raises :class:`ConfigError` when the
        seed itself is damaged, or any of that needs the CA's private key and this computer does not hold it, and
        :class:`PermissionDenied` when it was removed from the fleet.
        """
        # Elsewhere only the founder could add an address, and only its own server is ever reached by one.
        wanted = tuple(dict.fromkeys((*LOCAL_HOSTS, name, *(hosts if self.founded_here else ()))))
        directory = self._root / "machines" / name
        if not self._usable(directory, wanted):
            if directory.exists() and not self.founded_here:
                self._require_whole(directory)
                raise PermissionDenied(
                    f"{name} was expelled from its fleet",
                    hint=f"to join again: move {self._root} away, and tandem machine invite {name} over there",
                )
            with locked(self._root / "lock"):
                self._complete(name)
                if not self._usable(directory, wanted):
                    self._certify_here(name, wanted, directory)
                    self._machines.pop(name, None)
        if name not in self._machines:
            # While keys change, a file of the former ones may be beside one of the new.
            with locked(self._root / "lock"):
                self._complete(name)
                self._machines[name] = Machine(name, directory, self.ca_file, self.ca_public, self._epochs)
        return self._machines[name]

    def addresses_of(self, machine: str) -> tuple[str, ...]:
        """What the certificate of a machine of this computer lets its server be reached by."""
        return tuple(x509.hosts_of((self._root / "machines" / machine / "server.pem").read_bytes()))

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
        private_dir(self._root / "known")
        write_atomic(self.record_file(machine), certificate, PUBLIC_MODE)

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

    def record_file(self, machine: str) -> Path:
        """Where :meth:`record` is on disk; public, and absent until the machine is certified."""
        return self._root / "known" / f"{machine}.jwt"

    def record(self, machine: str) -> MachineClaims:
        """The public record of a machine certified here. Raises :class:`NotFound`, :class:`PermissionDenied` if revoked."""
        try:
            claims = claims_in(self.record_file(machine), self._public)
        except FileNotFoundError as error:
            raise NotFound(f"no machine {machine!r} was ever certified here") from error
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
            claims = claims_in(self._root / "machines" / machine / CERTIFICATE_FILE, self._public)
        except FileNotFoundError:
            return self.record(machine).exp
        if claims.epoch < self._epochs.get(machine, 0):
            raise PermissionDenied(f"machine {machine} was revoked")
        return claims.exp

    def signing_key_of(self, machine: str) -> str:
        """The public signing key (base64url) of a certified machine, revoked or not; empty for one never certified."""
        try:
            return claims_in(self.record_file(machine), self._public).key
        except FileNotFoundError:
            return ""

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
        """Take over what another process of this computer revoked.

        A file that is damaged is put aside and written anew with what is known. Raises :class:`ConfigError` when nothing
        is, ``OSError`` when that cannot be done.
        """
        try:
            self._read_epochs()
        except ConfigError:
            if not self._announcement:
                raise
            with locked(self._root / "lock"):
                aside = set_aside(self.epochs_file)
                self._store(self._announcement)
            log.error("%s was damaged; it is written anew, and was put aside as %s", self.epochs_file, aside.name)

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
        pem = read_secret(self._key_file)
        try:
            public = x509.load_private(pem).public_key().public_bytes_raw()
        except ValueError as error:
            raise ConfigError(f"{self._key_file} is damaged: {error}", hint=FROM_BACKUP) from error
        if public != self.ca_public:
            raise ConfigError(f"{self._key_file} is not the key of {self.ca_file}", hint=FROM_BACKUP)
        return pem

    def _usable(self, directory: Path, hosts: Iterable[str]) -> bool:
        """Whether everything of a machine is there, whole, current, and good for ``hosts``."""
        if not directory.exists() or damaged(directory, self._public):
            return False
        claims = claims_in(directory / CERTIFICATE_FILE, self._public)
        is_current = claims.epoch >= self._epochs.get(directory.name, 0)
        is_known = not self.founded_here or self._epoch_of(self.record_file(directory.name)) >= claims.epoch
        return is_current and is_known and x509.still_fits((directory / "server.pem").read_bytes(), hosts)

    def _require_whole(self, directory: Path) -> None:
        """Raises :class:`ConfigError` when files of a machine are damaged that only the founder could make anew."""
        if wrong := damaged(directory, self._public):
            raise ConfigError(
                f"{', '.join(wrong)} in {directory} cannot be used: missing, damaged, or not of this machine",
                hint=f"restore the folder from a backup, or join again: move {self._root} away, then "
                f"tandem machine invite {directory.name} on the computer that founded the fleet",
            )

    def _certify_here(self, name: str, hosts: tuple[str, ...], directory: Path) -> None:
        keyring = Keyring(self._seed_for(name, directory))
        grant = self.admit(request_for(name, hosts, keyring))
        install_machine(directory, keyring, grant)

    def _seed_for(self, name: str, directory: Path) -> bytes:
        """The machine's seed; a new one when there is none yet or the machine was revoked."""
        revoked = self._epochs.get(name, 0)
        if not directory.exists() or (revoked and self._epoch_of(directory / CERTIFICATE_FILE, self.record_file(name)) < revoked):
            return os.urandom(SEED_BYTES)
        seed = directory / SEED_FILE
        kept = read_secret(seed)
        wrong = damaged(directory, self._public)
        if SEED_FILE in wrong:
            raise ConfigError(f"{seed} is damaged: it is not what the CA certified", hint=FROM_BACKUP)
        if wrong:
            log.warning("%s: damaged and made anew from the machine's seed: %s", directory, ", ".join(wrong))
        return kept

    def _epoch_of(self, *records: Path) -> int:
        """The epoch a machine was certified in, by the first of these that is whole; -1 when none is."""
        for path in records:
            with contextlib.suppress(OSError, PermissionDenied):
                return claims_in(path, self._public).epoch
        return -1

    def _read_epochs(self) -> None:
        try:
            announcement = self.epochs_file.read_bytes().decode(errors="replace")
            epochs = verify(announcement, self._public, EpochClaims).epochs
        except FileNotFoundError:
            return
        except PermissionDenied as error:
            raise ConfigError(
                f"{self.epochs_file} is damaged, so nobody knows what was revoked: {error}",
                hint="restore it from a backup or from another computer of the fleet; if nothing was ever revoked, remove it",
            ) from error
        self._announcement = announcement
        self._epochs.update(epochs)

    def _store(self, announcement: str) -> None:
        write_atomic(self.epochs_file, announcement.encode(), PUBLIC_MODE)
        self._announcement = announcement
