"""Finding the computer that invites on the local network, by multicast DNS (RFC 6762, RFC 6763): a convenience, never trust.

An offer says who waits where and contains no secret. Anybody can make one up; whoever is led astray by it talks to somebody
who does not know the code, and learns nothing and is told nothing (:mod:`tandem.security.invitation`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING

from msgspec import Struct

from tandem.core.errors import Unavailable
from tandem.core.ids import new_id

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

log = logging.getLogger(__name__)

SERVICE = "_tandem-join._tcp.local."
LOOK_S = 3.0
OFFERS_MAX = 32
_TEXT_MAX = 63
_ANSWER_MS = 2000


class Offer(Struct, frozen=True, order=True):
    """A computer of ``fleet`` waits at ``address:port`` (IPv4) for the one that is to be ``machine``."""

    machine: str
    fleet: str
    address: str
    port: int


@contextlib.asynccontextmanager
async def announced(offer: Offer, interfaces: Sequence[str] | None = None) -> AsyncIterator[bool]:
    """Make the offer while the block lasts; whether it is made.

    It is not without the ``discovery`` extra, or where the network does not let us: then the address has to be carried over.
    ``interfaces``: own addresses to use, by default all.
    """
    try:
        from zeroconf import Error
        from zeroconf.asyncio import AsyncServiceInfo

        network = _network(interfaces)
    except (ImportError, OSError) as error:
        log.debug("no offer on the local network: %s", error)
        yield False
        return
    info = AsyncServiceInfo(
        SERVICE,
        f"{new_id()[:12]}.{SERVICE}",
        addresses=[socket.inet_pton(socket.AF_INET, offer.address)],
        port=offer.port,
        properties={"machine": offer.machine, "fleet": offer.fleet},
        server=f"tandem-{new_id()[:12]}.local.",
    )
    try:
        try:
            await (await network.async_register_service(info))
            made = True
        except (Error, OSError) as error:
            log.debug("no offer on the local network: %s", error)
            made = False
        yield made
    finally:
        await network.async_unregister_all_services()
        await network.async_close()


async def look(machine: str, seconds: float = LOOK_S, interfaces: Sequence[str] | None = None) -> list[Offer]:
    """Offers for ``machine`` that come within ``seconds``.

    Raises :class:`Unavailable` without the ``discovery`` extra, and where the network does not let us look.
    """
    try:
        from zeroconf import ServiceStateChange, Zeroconf
        from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo

        network = _network(interfaces)
    except ImportError:
        raise Unavailable(
            "offers cannot be looked for without the zeroconf library",
            hint="pip install 'tandem-fleet[discovery]', or name the address: tandem machine join MACHINE ADDRESS",
        ) from None
    except OSError as error:
        raise Unavailable(f"offers cannot be looked for: {error.strerror or error}", hint="name the address") from error
    names: set[str] = set()

    def hear(zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange) -> None:
        if state_change is not ServiceStateChange.Removed and len(names) < OFFERS_MAX:
            names.add(name)

    try:
        browser = AsyncServiceBrowser(network.zeroconf, SERVICE, handlers=[hear])
        await asyncio.sleep(seconds)
        await browser.async_cancel()
        infos = [AsyncServiceInfo(SERVICE, name) for name in names]
        answered = await asyncio.gather(*(info.async_request(network.zeroconf, _ANSWER_MS) for info in infos))
    finally:
        await network.async_close()
    found = {offer for info, known in zip(infos, answered, strict=True) if known for offer in _read(info)}
    return sorted(offer for offer in found if offer.machine == machine)


def _network(interfaces: Sequence[str] | None) -> AsyncZeroconf:
    from zeroconf import InterfaceChoice, IPVersion
    from zeroconf.asyncio import AsyncZeroconf

    chosen = InterfaceChoice.All if interfaces is None else list(interfaces)
    return AsyncZeroconf(interfaces=chosen, ip_version=IPVersion.V4Only)


def _read(info: object) -> list[Offer]:
    from zeroconf import IPVersion
    from zeroconf.asyncio import AsyncServiceInfo

    assert isinstance(info, AsyncServiceInfo)
    machine, fleet = (_plain(info.properties.get(key)) for key in (b"machine", b"fleet"))
    return [Offer(machine, fleet, address, info.port or 0) for address in info.parsed_addresses(IPVersion.V4Only)[:1]]


def _plain(value: bytes | None) -> str:
    """What a stranger wrote, made fit for a terminal."""
    text = (value or b"").decode(errors="replace")
    return "".join(letter for letter in text if letter.isprintable())[:_TEXT_MAX]
