"""The work of `tandem machine invite` and `join`: one computer waits at its door, the other one knocks."""

from __future__ import annotations

import asyncio
import ipaddress
import platform
import socket
from collections.abc import Callable
from pathlib import Path

import psutil

from tandem import __version__
from tandem.core import clock
from tandem.core.errors import ConfigError, NotFound, Unavailable
from tandem.core.paths import Home, private_dir
from tandem.fleet.load import received_fleet_file
from tandem.fleet.model import Fleet
from tandem.fleet.places import Whereabouts, known_places, write_places
from tandem.infra.joining import Arrival, JoinDesk, join
from tandem.infra.offers import Offer, announced
from tandem.release.parcel import missing, pack, unpack
from tandem.security import Authority, Bundle, Guest, Host, Throttle, Trail
from tandem.security.tokens import LEEWAY_S
from tandem.supervise.keeper_start import is_kept

SKEW_S = 2.0
"""Clocks further apart are worth a word; what the answer took to come counts among it."""


class Invitation:
    """One invitation of ``machine``, from the code to the arrival."""

    def __init__(self, home: Home, fleet: Fleet, machine: str, address: str | None, life_s: int):
        self._home = home
        self._fleet = fleet
        self._machine = machine
        self._founder = _check(home, fleet, machine)
        self._authority = Authority.open(home)
        # Founded now if need be: the first `tandem up` takes it over.
        self._authority.machine(self._founder)
        self._host = Host(home, self._authority)
        self._life_s = life_s
        self._trail = trail_of(home, self._founder)
        self.port = fleet.machines[self._founder].infra.join
        self.address = address or fleet.machines[self._founder].host or own_address()
        self._fleet_text = Path(fleet.file).read_text()
        self.parcel = pack(fleet)
        self._known_as = self._authority.signing_key_of(machine)
        self.code = self._host.invite(machine, life_s=life_s)
        self._trail.record("invited", by="operator", subject=machine)

    @property
    def renews(self) -> bool:
        """Whether who came was that machine before, and is it with the same keys."""
        return self._authority.signing_key_of(self._machine) == self._known_as

    async def wait(self, on_refused: Callable[[str, str], None]) -> Arrival | None:
        """Keep the door open until the computer has joined, and note where it is; None when the time is over.

        Raises :class:`Unavailable` when the port is taken. However it ends, the code is of no use afterwards.
        """
        arrived: asyncio.Future[Arrival] = asyncio.get_running_loop().create_future()
        throttle = Throttle()

        def refused(where: str, why: str) -> None:
            if times := throttle.due(where):
                self._trail.record("join refused", by=where, subject=self._machine, detail=why, times=times)
                on_refused(where, why)

        def admitted(arrival: Arrival) -> None:
            if not arrived.done():
                arrived.set_result(arrival)

        desk = JoinDesk(self._host, self._bundle, admitted, refused, self.parcel.archive)
        try:
            await desk.open(None, self.port)
        except OSError as error:
            self._host.withdraw(self.code)
            raise Unavailable(f"cannot listen on port {self.port}: {error.strerror}", hint="is another invitation waiting?") from error
        try:
            async with announced(self._offer()), asyncio.timeout(self._life_s):
                arrival = await arrived
        except TimeoutError:
            return None
        finally:
            self._host.withdraw(self.code)
            await desk.close()
        self._settle(arrival)
        return arrival

    def _offer(self) -> Offer:
        """Who waits where, for :mod:`tandem.infra.offers`; names are of no use there."""
        try:
            address = str(ipaddress.IPv4Address(self.address))
        except ValueError:
            address = own_address()
        return Offer(self._machine, self._fleet.name, address, self.port)

    def _settle(self, arrival: Arrival) -> None:
        places = known_places(self._home)
        for machine in self._fleet.machines.values():
            if machine.is_here:
                places[machine.name] = Whereabouts("here", arrival.reached)
        places[arrival.machine] = Whereabouts("elsewhere", arrival.came_from)
        write_places(self._home, places)
        self._trail.record("joined", by=arrival.came_from, subject=arrival.machine)

    def _bundle(self, reached: str) -> Bundle:
        hosts = {m.name: (m.host if m.host and not m.is_here else reached) for m in self._fleet.machines.values()}
        return Bundle(
            fleet=self._fleet_text,
            version=__version__,
            python=platform.python_version(),
            port_offset=self._fleet.port_offset,
            hosts={name: host for name, host in hosts.items() if name != self._machine},
            at=clock.wall(),
            digests=self.parcel.digests,
            needs=self.parcel.needs,
        )


def _check(home: Home, fleet: Fleet, machine: str) -> str:
    """The first machine of the fleet, which holds the CA and invites. Raises when ``machine`` cannot be invited."""
    first = next(iter(fleet.machines))
    if machine not in fleet.machines:
        raise NotFound(f"the fleet file has no machine {machine!r}", hint=f"its machines: {', '.join(fleet.machines)}")
    if machine == first:
        raise ConfigError(f"{machine} is the fleet's first machine: it invites the others")
    if not fleet.machines[first].is_here:
        raise ConfigError(f"{first} invites, and it is another computer", hint=f"run this on {first}")
    if is_kept(home.machine(machine)):
        raise ConfigError(f"{machine} runs on this computer", hint="tandem down, then invite it again")
    return first


async def accept(
    home: Home, machine: str, address: str, port: int, code: str, progress: Callable[[int, int], object]
) -> tuple[Guest, list[str]]:
    """Join the fleet whose first computer waits at ``address:port``; with what came along, and what a person should know.

    Raises what :func:`tandem.infra.join` and :class:`Guest` raise, and :class:`ConfigError` when this computer has another
    version of Tandem.
    """
    guest = Guest(home, machine, code)
    notes: list[str] = []

    def consider(bundle: Bundle) -> None:
        _require_same_version(bundle)
        notes.extend(_clocks(clock.wall() - bundle.at))

    def keep(bundle: Bundle, parcel: bytes) -> None:
        folder = received_fleet_file(home).parent
        if unpack(parcel, bundle.digests, bundle.fleet, folder):
            notes.append(f"{folder} was replaced; the old one is beside it")

    await join(guest, address, port, consider=consider, keep=keep, progress=progress)
    bundle = guest.bundle
    places = {name: Whereabouts("elsewhere", host) for name, host in bundle.hosts.items()}
    write_places(home, {**places, machine: Whereabouts("here", bundle.you)})
    trail_of(home, machine).record("joined", by="operator", subject=machine, detail=f"the fleet of {address}")
    return guest, _differences(bundle) + notes


def _require_same_version(bundle: Bundle) -> None:
    if bundle.version != __version__:
        raise ConfigError(
            f"that fleet runs Tandem {bundle.version}, this computer has {__version__}",
            hint=f"install {bundle.version} here, then the same command again: the invitation still stands",
        )


def _clocks(ahead_s: float) -> list[str]:
    """What to say of a clock that is ``ahead_s`` before the other computer's."""
    if abs(ahead_s) <= SKEW_S:
        return []
    side = "ahead of" if ahead_s > 0 else "behind"
    limit = f"; more than {LEEWAY_S} s, and the two refuse each other's calls" if abs(ahead_s) > LEEWAY_S - SKEW_S else ""
    return [f"this computer's clock is {abs(ahead_s):.0f} s {side} the other one's{limit}: synchronise both (NTP)"]


def _differences(bundle: Bundle) -> list[str]:
    notes = []
    ours, theirs = (version.rpartition(".")[0] for version in (platform.python_version(), bundle.python))
    if ours != theirs:
        notes.append(f"the other computer runs Python {theirs}, this one {ours}: that works as long as agents allow both")
    if absent := missing(bundle.needs):
        notes.append(f"the fleet's code imports what is not installed here: {', '.join(absent)}")
    if bundle.port_offset:
        notes.append(f"its ports are moved: set PORT_OFFSET={bundle.port_offset} here, too")
    return notes


def trail_of(home: Home, machine: str) -> Trail:
    """The machine's audit trail; its directory is made when there is none yet."""
    dirs = home.machine(machine)
    private_dir(dirs.root)
    return Trail(dirs.trail)


def own_address() -> str:
    """An address of this computer that others can reach; the loopback address when it has no other."""
    up = {name for name, state in psutil.net_if_stats().items() if state.isup}
    found = [
        ipaddress.ip_address(entry.address)
        for name, entries in psutil.net_if_addrs().items()
        if name in up
        for entry in entries
        if entry.family is socket.AF_INET
    ]
    # Those of a home or office before others; bridges of containers and the like come last in most listings.
    ranked = sorted((a for a in found if not a.is_loopback), key=lambda a: (a.is_link_local, not a.is_private))
    return str(ranked[0]) if ranked else "127.0.0.1"
