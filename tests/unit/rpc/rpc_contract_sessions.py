"""What every transport must do alike about who may connect, and about callers that break the protocol."""

from __future__ import annotations

import asyncio

import pytest
from rpc_rig import SERVICE, Collector, Rig, until

from tandem.core.errors import PermissionDenied
from tandem.rpc import Limits
from tandem.rpc.envelope import PROTOCOL_VERSION, Failure, Hello, Welcome, encode
from tandem.security import Principal


class RpcSessionContract:
    """HELLO, versions, tokens, delegation, revocation."""

    async def test_token_names_the_principal(self, rig: Rig) -> None:
        """The token of the connection, made for the peer's full name, tells the handler who calls."""
        await rig.serve(auth=True)
        assert await rig.peers(lambda audience: f"Caller@{audience}").call("Echo", "who") == "Caller"

    async def test_bad_token_gets_nothing(self, rig: Rig) -> None:
        """A wrong or missing token is refused before anything runs."""
        server = await rig.serve(auth=True)
        for token in (lambda _audience: "Caller@Other@here", None):
            with pytest.raises(PermissionDenied):
                await rig.peers(token).call("Echo", "add", {"name": "x"})
        assert rig.echo.seen == []
        await until(lambda: server.connections == 0)

    async def test_only_delegates_call_for_others(self, rig: Rig) -> None:
        """A call on behalf of somebody needs the scope for it."""
        await rig.serve(auth=True)
        user = Principal("ann", "user")
        door = rig.peers(lambda audience: f"Door+delegate@{audience}")
        assert await door.call("Echo", "who", on_behalf=user) == "ann"
        assert await door.call("Echo", "who") == "Door"
        with pytest.raises(PermissionDenied):
            await rig.peers(lambda audience: f"Caller@{audience}").call("Echo", "who", on_behalf=user)

    async def test_revoked_principal_is_cut_off(self, rig: Rig) -> None:
        """Disconnecting a principal ends its calls with PermissionDenied and its connection."""
        server = await rig.serve(auth=True)
        bad = rig.peers(lambda audience: f"Bad@{audience}")
        good = rig.peers(lambda audience: f"Good@{audience}")
        assert await good.call("Echo", "who") == "Good"
        call = asyncio.create_task(bad.call("Echo", "hold", {"name": "a"}, timeout=60))
        await until(lambda: "a began" in rig.echo.seen)
        assert server.disconnect(lambda principal: principal.name == "Bad") == 1
        with pytest.raises(PermissionDenied):
            await call
        await until(lambda: server.connections == 1)
        assert await good.call("Echo", "who") == "Good"

    async def test_nothing_works_before_hello(self, rig: Rig) -> None:
        """A first frame that is not HELLO ends the connection with an error."""
        await rig.serve()
        collector = Collector()
        channel = await rig.connect(collector)
        channel.send(b"\xff\xff not msgpack")
        await until(lambda: collector.frames)
        failure = collector.frames[0]
        assert isinstance(failure, Failure) and failure.code == "invalid_arguments"
        assert await rig.peers().call("Echo", "who") == "nobody"

    async def test_garbage_after_hello_ends_only_that_connection(self, rig: Rig) -> None:
        """A caller that breaks the protocol loses its connection; others do not notice."""
        server = await rig.serve()
        peers = rig.peers()
        assert await peers.call("Echo", "who") == "nobody"
        collector = Collector()
        channel = await rig.connect(collector)
        channel.send(encode(Hello(1, PROTOCOL_VERSION, SERVICE, "by hand")))
        await until(lambda: collector.frames)
        assert isinstance(collector.frames[0], Welcome)
        assert server.connections == 2
        channel.send(b"\xc1")
        await until(lambda: server.connections == 1)
        assert await peers.call("Echo", "who") == "nobody"

    @pytest.mark.parametrize(
        "hello",
        [Hello(PROTOCOL_VERSION + 1, PROTOCOL_VERSION + 9, SERVICE, "c"), Hello(1, 1, "Other@here", "c")],
        ids=["no common version", "another service"],
    )
    async def test_hello_must_fit(self, rig: Rig, hello: Hello) -> None:
        """A caller without a common version, or at the wrong service, is told so."""
        await rig.serve()
        collector = Collector()
        channel = await rig.connect(collector)
        channel.send(encode(hello))
        await until(lambda: collector.frames)
        failure = collector.frames[0]
        assert isinstance(failure, Failure) and failure.refused

    async def test_version_is_the_newest_common_one(self, rig: Rig) -> None:
        """A caller that also speaks later versions is served in ours."""
        await rig.serve()
        collector = Collector()
        channel = await rig.connect(collector)
        channel.send(encode(Hello(1, PROTOCOL_VERSION + 5, "Echo", "c")))
        await until(lambda: collector.frames)
        welcome = collector.frames[0]
        assert isinstance(welcome, Welcome) and welcome.version == PROTOCOL_VERSION

    async def test_silent_connection_is_closed(self, rig: Rig) -> None:
        """A connection that never says HELLO is told off and dropped."""
        server = await rig.serve(limits=Limits(hello_s=0.05))
        collector = Collector()
        channel = await rig.connect(collector)
        if rig.transport.endpoint().kind == "zmq":
            # A ROUTER learns of a connection by its first message only; libzmq's own handshake timer guards it before.
            channel.send(encode(Hello(9, 9, SERVICE, "c")))
        await until(lambda: collector.frames)
        failure = collector.frames[0]
        assert isinstance(failure, Failure) and failure.refused
        await until(lambda: server.connections == 0)
