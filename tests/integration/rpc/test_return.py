"""A peer that was out of reach and comes back."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest
from rpc_rig import BOUND_S, METHODS, SERVICE, Echo, until

from tandem.core.deadline import Deadline
from tandem.core.errors import Unreachable
from tandem.rpc import BreakerState, Endpoint, LinkCut, Peers, Server, handlers_from
from tandem.rpc.breaker import OPEN_S
from tandem.rpc.transports.unix import bind

pytestmark = pytest.mark.integration


class CutOff:
    """Finds the peer only while the link is there; the instance behind the name stays the same."""

    def __init__(self, address: str):
        self.endpoint = Endpoint("zmq", address, instance="same", service=SERVICE)
        self.error: Unreachable | None = None

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        if self.error is not None:
            raise self.error
        return self.endpoint

    async def lose(self, peers: Peers, error: Unreachable) -> None:
        """Fail calls with ``error`` until the peer is left alone."""
        self.error = error
        while peers.breaker(SERVICE) is not BreakerState.OPEN:
            with pytest.raises(Unreachable):
                await peers.call(SERVICE, "who", timeout=OPEN_S / 4)

    async def regain(self, peers: Peers) -> None:
        """Return when the peer has been found again without a call, and answers one."""
        self.error = None
        await until(lambda: peers.breaker(SERVICE) is BreakerState.CLOSED)
        assert await peers.call(SERVICE, "who") == "nobody"


async def test_a_peer_is_looked_for_while_it_is_left_alone() -> None:
    """Once the link is back the breaker closes by itself, long before its pause is over and without a call."""
    server = Server(SERVICE, handlers_from(Echo(), METHODS))
    at = CutOff(await server.listen_zmq(endpoint="tcp://127.0.0.1:*", keys=None))
    peers = Peers(at)
    assert await peers.call(SERVICE, "who") == "nobody"
    await server.close()
    await at.lose(peers, Unreachable("the link is cut"))
    again = Server(SERVICE, handlers_from(Echo(), METHODS))
    at.endpoint = Endpoint(
        "zmq", await again.listen_zmq(endpoint="tcp://127.0.0.1:*", keys=None), instance="same"
    )
    await at.regain(peers)
    await peers.close()
    await again.close()


async def test_a_neighbour_is_looked_for_while_it_is_left_alone(tmp_path: Path) -> None:
    """One that comes back behind the same socket, as after a hang, is called again long before the breaker's pause is over."""
    path = tmp_path / "s"
    door = bind(path)
    at = CutOff(str(path))
    at.endpoint = Endpoint("unix", str(path), instance="same", service=SERVICE)
    server = Server(SERVICE, handlers_from(Echo(), METHODS))
    await server.listen_unix(door.dup())
    peers = Peers(at)
    assert await peers.call(SERVICE, "who") == "nobody"
    await server.close()
    await at.lose(peers, Unreachable("it hangs"))
    again = Server(SERVICE, handlers_from(Echo(), METHODS))
    await again.listen_unix(door)
    await at.regain(peers)
    await peers.close()
    await again.close()


async def test_connecting_ends_when_the_link_is_known_to_be_cut() -> None:
    """Who waits for a connection that gets no answer is told of the cut as soon as it is known, not at the end of the wait."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        at = CutOff(f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        peers = Peers(at)
        call = asyncio.create_task(peers.call(SERVICE, "who", timeout=BOUND_S))
        silent.settimeout(BOUND_S)
        taken, _ = await asyncio.to_thread(silent.accept)
        at.error = LinkCut("the link is cut")
        with taken, pytest.raises(Unreachable, match="the link is cut"):
            await call
        await peers.close()
