"""The inviting computer is found on the local network; whatever else is said there is taken for what it is."""

from __future__ import annotations

import asyncio
import builtins
import socket
from typing import Any

import pytest

from tandem.core.errors import Unavailable
from tandem.infra.offers import SERVICE, Offer, announced, look

pytest.importorskip("zeroconf", reason="the extra `discovery` is not installed")
pytestmark = pytest.mark.integration

LOOPBACK = ["127.0.0.1"]
OFFER = Offer("pc2", "home", "127.0.0.1", 7443)


@pytest.fixture(autouse=True)
def multicast() -> None:
    """Skip where the kernel does not carry multicast on loopback, which some containers forbid."""
    group = socket.inet_aton("224.0.0.251") + socket.inet_aton("127.0.0.1")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as heard, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as said:
        try:
            heard.bind(("", 0))
            heard.settimeout(5.0)
            heard.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            said.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("127.0.0.1"))
            said.sendto(b"?", ("224.0.0.251", heard.getsockname()[1]))
            heard.recv(1)
        except OSError as error:
            pytest.skip(f"no multicast on loopback here: {error}")


async def found(machine: str, at_least: int = 1) -> list[Offer]:
    """What is offered, once as much as expected is; multicast may lose a packet."""
    for _ in range(10):
        if len(offers := await look(machine, interfaces=LOOPBACK)) >= at_least:
            return offers
    return offers


async def test_an_offer_is_found_while_it_stands() -> None:
    """A computer that is to be pc2 finds who waits for pc2, nobody else's offers, and nothing once it is withdrawn."""
    async with announced(OFFER, LOOPBACK) as made, announced(Offer("pc3", "home", "127.0.0.1", 7443), LOOPBACK):
        assert made
        assert await found("pc2") == [OFFER]
        assert await look("mainpc", 0.5, LOOPBACK) == []
    assert await look("pc2", 0.5, LOOPBACK) == []


async def test_an_offer_contains_no_secret_and_a_strangers_is_made_harmless() -> None:
    """Only machine, fleet, address and port are said; control characters of somebody else's offer reach no terminal."""
    from zeroconf import IPVersion
    from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

    stranger = AsyncZeroconf(interfaces=LOOPBACK, ip_version=IPVersion.V4Only)
    address = socket.inet_aton("127.0.0.1")
    info = AsyncServiceInfo(
        SERVICE, f"odd.{SERVICE}", addresses=[address], port=1, server="odd.local.",
        properties={"machine": "pc2", "fleet": "\x1b[2Jevil\n\xff" + "x" * 200, "more": "y"},
    )  # fmt: skip
    await (await stranger.async_register_service(info))
    try:
        async with announced(OFFER, LOOPBACK):
            odd, own = sorted(await found("pc2", 2), key=lambda offer: offer.port)
        assert own == OFFER
        assert odd.fleet.isprintable() and odd.fleet.startswith("[2Jevil") and len(odd.fleet) <= 63
    finally:
        await stranger.async_unregister_all_services()
        await stranger.async_close()


async def test_without_the_library_the_address_is_carried_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inviting goes on without an offer, and looking for one says what to install."""
    genuine = builtins.__import__

    def refuse(name: str, *args: Any, **more: Any) -> Any:
        if name.partition(".")[0] == "zeroconf":
            raise ImportError(name)
        return genuine(name, *args, **more)

    monkeypatch.setattr(builtins, "__import__", refuse)
    async with announced(OFFER) as made:
        assert not made
    with pytest.raises(Unavailable, match="zeroconf"):
        await look("pc2", 0.1)
    await asyncio.sleep(0)
