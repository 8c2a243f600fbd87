"""What is particular to unix sockets."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest
from rpc_rig import METHODS, SERVICE, At, Echo, Watcher, until

from tandem.core.errors import ConfigError, PermissionDenied
from tandem.rpc import Peers, Server, handlers_from
from tandem.security import Principal

pytestmark = pytest.mark.integration


async def test_own_path_is_private_and_removed(tmp_path: Path) -> None:
    """A socket of our own is readable by us only, and gone after close."""
    path = tmp_path / "s.sock"
    server = Server(SERVICE, handlers_from(Echo(), METHODS))
    await server.listen_unix(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    await server.close()
    assert not path.exists()


async def test_kept_socket_outlives_the_server(tmp_path: Path) -> None:
    """A path that somebody else listens at stays, and a later server answers there."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as kept:
        kept.bind(str(path))
        kept.listen()
        for _ in range(2):
            server = Server(SERVICE, handlers_from(Echo(), METHODS))
            await server.listen_unix(kept.dup())
            peers = Peers(At("unix", str(path)))
            assert await peers.call("Echo", "who") == "nobody"
            await peers.close()
            await server.close()
            assert path.exists()


async def test_stale_path_is_replaced_and_a_live_one_is_not(tmp_path: Path) -> None:
    """A socket nobody listens at is no obstacle; one that answers is."""
    path = tmp_path / "s.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    server = Server(SERVICE, handlers_from(Echo(), METHODS))
    await server.listen_unix(path)
    other = Server(SERVICE, handlers_from(Echo(), METHODS))
    with pytest.raises(ConfigError, match="already answers"):
        await other.listen_unix(path)
    await server.close()
    path.write_text("a file")
    with pytest.raises(ConfigError, match="no socket"):
        await other.listen_unix(path)


async def test_too_long_path_is_explained(tmp_path: Path) -> None:
    """The kernel's limit is told before bind fails with less."""
    with pytest.raises(ConfigError, match="107"):
        await Server(SERVICE, {}).listen_unix(tmp_path / ("x" * 120))


async def test_caller_without_token_is_known_by_its_user(tmp_path: Path) -> None:
    """The kernel's word for who is at the other end makes an operator, or not."""
    path = tmp_path / "s.sock"

    def operator(uid: int) -> Principal:
        if uid != os.getuid():
            raise PermissionDenied("not the operator")
        return Principal("operator", "operator")

    def refuse(token: str) -> Principal:
        raise PermissionDenied(f"bad token {token!r}")

    server = Server(SERVICE, handlers_from(Echo(), METHODS), authenticate=refuse, local=operator)
    await server.listen_unix(path)
    peers, intruder = Peers(At("unix", str(path))), Peers(At("unix", str(path)), token=lambda _audience: "forged")
    assert await peers.call("Echo", "who") == "operator"
    with pytest.raises(PermissionDenied, match="forged"):
        await intruder.call("Echo", "who")
    await peers.close()
    await intruder.close()
    await server.close()


async def test_caller_that_does_not_read_is_not_read_from(tmp_path: Path) -> None:
    """A caller that asks and never reads its answers fills its own pipe, not the server's memory."""
    from tandem.rpc.envelope import PROTOCOL_VERSION, Hello, encode, encode_request

    path = tmp_path / "s.sock"
    watcher = Watcher()
    server = Server(SERVICE, handlers_from(Echo(), METHODS), observer=watcher)
    await server.listen_unix(path)
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as caller:
        caller.setblocking(False)
        await loop.sock_connect(caller, str(path))
        frames = [encode(Hello(1, PROTOCOL_VERSION, SERVICE, "greedy"))]
        frames += [encode_request(n, "make", {"size": 100_000}, 60_000) for n in range(1, 400)]
        data = b"".join(len(frame).to_bytes(4, "little") + frame for frame in frames)
        await loop.sock_sendall(caller, data)
        await until(lambda: [session for session in server._sessions if session.channel.congested])
        await until(lambda: server.in_flight == 0)
        handled = len(watcher.calls)
        await loop.sock_sendall(caller, data[: len(data) // 2])
        peers = Peers(At("unix", str(path)))
        assert await peers.call("Echo", "who") == "nobody"
        await peers.close()
        assert len(watcher.calls) == handled + 1
    await until(lambda: server.connections == 0)
    await server.close()
