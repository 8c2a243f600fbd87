"""Both ends of a join, without the network between them (that is :mod:`tandem.infra.joining`)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from tandem.core.errors import ConfigError, PermissionDenied
from tandem.core.files import write_atomic
from tandem.core.paths import Home, private_dir
from tandem.security.authority import LOCAL_HOSTS, Authority
from tandem.security.files import SECRET_MODE, locked, read_secret
from tandem.security.folder import PUBLIC_MODE, install_machine, place
from tandem.security.invitation import (
    LIFE_S,
    Channel,
    Invitations,
    unseal,
)
from tandem.security.keyring import SEED_BYTES, Keyring
from tandem.security.machine import SEED_FILE, MachineGrant, MachineRequest, request_for

_ASK, _ANSWER, _PIECE, _VERDICT = "ask", "answer", "piece", "verdict"
PIECE_BYTES = 256 * 1024
"""Of the parcel in one message."""
_REASON_MAX = 300


class Bundle(Struct, frozen=True, kw_only=True):
    """What a new computer needs besides its identity: the fleet file's text, the version of Tandem (and Python) over
    there, and the addresses of machines. ``you`` is the address it was seen at, ``at`` the time over there (Unix seconds).

    ``parcel`` bytes of packed code follow, which hold the files of ``digests`` (path to SHA-256); that code imports the
    packages of ``needs`` (name to version).
    """

    fleet: str = ""
    version: str = ""
    python: str = ""
    port_offset: int = 0
    hosts: dict[str, str] = {}
    you: str = ""
    at: float = 0.0
    parcel: int = 0
    digests: dict[str, str] = {}
    needs: dict[str, str] = {}


class Welcome(Struct, frozen=True):
    """The answer to a computer that joins."""

    grant: MachineGrant
    bundle: Bundle


_Message = TypeVar("_Message", MachineRequest, Welcome)


class Host:
    """The computer that founded the CA: invites and admits."""

    def __init__(self, home: Home, authority: Authority) -> None:
        self._home = home
        self._authority = authority
        self._invitations = Invitations(home.ca / "invitations")

    def invite(self, machine: str, hosts: Iterable[str] = (), life_s: int = LIFE_S) -> str:
        """A code with which one computer may become ``machine``, reached at ``hosts``, within ``life_s`` seconds.

        Raises :class:`ConfigError` when the CA was founded elsewhere.
        """
        if not self._authority.founded_here:
            raise ConfigError("invitations come from the computer where `tandem up` ran first")
        return self._invitations.add(machine, tuple(hosts), life_s)

    def awaits_anybody(self) -> bool:
        """Whether the door needs to stay open."""
        return bool(self._invitations.open())

    def withdraw(self, code: str) -> None:
        """From now on the code admits nobody."""
        self._invitations.withdraw(code)

    def admit(self, message: bytes, came_from: str = "", bundle: Bundle | None = None) -> tuple[str, bytes]:
        """The machine that joined, and the answer to its ``message``; ``came_from`` is its address on the network.

        A code serves one computer, which may repeat its question if the answer was lost. A machine that joins again
        with other keys is a new installation: the credentials of the old one are revoked, and its keys put aside if
        they are on this computer. With the same keys it stays who it is, unless it was expelled with them.
        Raises :class:`NotFound` or :class:`PermissionDenied`.
        """
        identifier = unseal(message).code_id
        with locked(self._home.ca / "invitations.lock"):
            invitation = self._invitations.get(identifier)
            channel = Channel(identifier, invitation.key)
            body = channel.open(_ASK, message)
            request = _understand(body, MachineRequest)
            if request.name != invitation.machine:
                raise PermissionDenied(f"the invitation is for {invitation.machine}, not {request.name}")
            if invitation.used_by not in ("", request.signing):
                raise PermissionDenied(
                    "the code was used already", hint=f"tandem machine invite {request.name}"
                )
            if not invitation.used_by:
                self._retire_predecessor(request)
                used = msgspec.structs.replace(invitation, used_by=request.signing)
                self._invitations.put(identifier, used)
            # Its own word on where it is reached does not count: it could claim another machine's address.
            hosts = dict.fromkeys((*LOCAL_HOSTS, request.name, *invitation.hosts, came_from))
            hosts.pop("", None)
            grant = self._authority.admit(msgspec.structs.replace(request, hosts=tuple(hosts)))
        welcome = Welcome(grant, msgspec.structs.replace(bundle or Bundle(), you=came_from))
        return request.name, channel.seal(_ANSWER, msgspec.msgpack.encode(welcome))

    def pieces(self, message: bytes, parcel: bytes) -> Iterator[bytes]:
        """``parcel`` in messages for the computer that was admitted with ``message``."""
        channel = self._channel(message)
        for number, start in enumerate(range(0, len(parcel), PIECE_BYTES)):
            yield channel.seal(f"{_PIECE} {number}", parcel[start : start + PIECE_BYTES])

    def verdict(self, message: bytes, answer: bytes) -> str:
        """Why the computer that was admitted with ``message`` did not join after all; empty when it did."""
        return self._channel(message).open(_VERDICT, answer).decode(errors="replace")

    def _channel(self, message: bytes) -> Channel:
        identifier = unseal(message).code_id
        return Channel(identifier, self._invitations.get(identifier).key)

    def _retire_predecessor(self, request: MachineRequest) -> None:
        former = self._authority.signing_key_of(request.name)
        if former == request.signing:
            self._require_not_expelled(request.name)
        elif former:
            epoch = self._authority.revoke(request.name)
            own = self._home.ca / "machines" / request.name
            if own.exists():
                own.rename(private_dir(self._home.ca / "moved") / f"{request.name}-{epoch}")


    def _require_not_expelled(self, machine: str) -> None:
        self._authority.refresh()
        try:
            self._authority.record(machine)
        except PermissionDenied as error:
            # Whoever was expelled may have been robbed: those keys are never good again.
            raise PermissionDenied(
                f"{machine} was expelled, and came with the keys it had; the folder `ca` of that computer has to go first"
            ) from error


class Guest:
    """The computer that joins as ``machine``, or is that machine already and comes for what is new.

    Raises :class:`ConfigError` when it belongs to another fleet or is another machine of this one, and
    :class:`PermissionDenied` when it knows that it was expelled.
    """

    def __init__(self, home: Home, machine: str, code: str) -> None:
        self._ca = private_dir(home.ca)
        self._home = home
        self._machine = machine
        self._channel = Channel.of(code)
        self._member = self._membership()
        self._keyring = Keyring(self._seed())
        self.bundle = Bundle()
        """What came along, once :meth:`settle` is done."""

    @property
    def is_member(self) -> bool:
        """Whether this computer was that machine before; then its keys and certificates stay as they are."""
        return self._member is not None

    def question(self) -> bytes:
        """What to send; it asks for the same keys every time, so that a lost answer can be asked for again."""
        request = request_for(self._machine, (), self._keyring)
        body = msgspec.msgpack.encode(request)
        return self._channel.seal(_ASK, body)

    def read(self, answer: bytes) -> Bundle:
        """What the host gives along; nothing is installed yet. Raises as :meth:`settle` does."""
        return self._welcome(answer).bundle

    def piece(self, number: int, message: bytes) -> bytes:
        """A part of the parcel, counted from 0. Raises :class:`PermissionDenied` when it is not that part."""
        return self._channel.open(f"{_PIECE} {number}", message)

    def verdict(self, why: str = "") -> bytes:
        """What to tell the host at the end: nothing, or why this computer does not join."""
        return self._channel.seal(_VERDICT, why[:_REASON_MAX].encode())

    def settle(self, answer: bytes) -> Authority:
        """Install what the host granted and return this computer's view of the CA.

        Raises :class:`PermissionDenied` when the answer does not come from whoever made the code.
        """
        welcome = self._welcome(answer)
        grant = welcome.grant
        if self._member is None:
            install_machine(self._ca / "machines" / self._machine, self._keyring, grant)
            # Last: from here on this computer counts as joined.
            place(self._ca / "root", {"cert.pem": (grant.authority, PUBLIC_MODE)})
            self._pending.unlink(missing_ok=True)
        authority = Authority.open(self._home)
        if grant.announcement:
            authority.merge(grant.announcement)
        self.bundle = welcome.bundle
        return authority

    def _welcome(self, answer: bytes) -> Welcome:
        welcome = _understand(self._channel.open(_ANSWER, answer), Welcome)
        if self._member is not None and welcome.grant.authority != self._member.ca_file.read_bytes():
            raise self._belongs_elsewhere()
        return welcome

    def _membership(self) -> Authority | None:
        if not (self._ca / "root").exists():
            return None
        authority = Authority.open(self._home)
        if authority.founded_here or self._machine not in authority.local_machines():
            raise self._belongs_elsewhere()
        authority.machine(self._machine)
        return authority

    def _belongs_elsewhere(self) -> ConfigError:
        return ConfigError(
            f"this computer belongs to a fleet already: {self._ca}",
            hint="stop it with `tandem down` and move that folder away to join another one",
        )

    @property
    def _pending(self) -> Path:
        return self._ca / f"joining-{self._machine}.seed"

    def _seed(self) -> bytes:
        if self._member is not None:
            return read_secret(self._ca / "machines" / self._machine / SEED_FILE)
        if self._pending.exists():
            return read_secret(self._pending)
        seed = os.urandom(SEED_BYTES)
        write_atomic(self._pending, seed, SECRET_MODE)
        return seed


def _understand(body: bytes, kind: type[_Message]) -> _Message:
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except msgspec.MsgspecError as error:
        raise PermissionDenied(
            f"the other computer speaks another version: {error}", hint="install the same release on both"
        ) from error
