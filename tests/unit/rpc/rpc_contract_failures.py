"""What every transport must do alike when connections break and servers come and go."""

from __future__ import annotations

import asyncio

import pytest
from rpc_rig import BOUND_S, Echo, Rig, cut, until

from tandem.core.errors import Draining, RemoteError, Unreachable
from tandem.rpc import BreakerState, Limits, Peers, pool
from tandem.rpc.breaker import OPEN_S


class RpcFailureContract:
    """Drain, restart, lost connections, duplicates, the circuit breaker."""

    async def test_drain_lets_running_calls_finish(self, rig: Rig) -> None:
        """A draining server finishes what runs, and waits for it."""
        server = await rig.serve()
        peers = rig.peers()
        call = asyncio.create_task(peers.call("Echo", "hold", {"name": "a"}, timeout=60))
        await until(lambda: "a began" in rig.echo.seen)
        drained = asyncio.create_task(server.drain(BOUND_S))
        await asyncio.sleep(0.02)
        assert not drained.done()
        rig.echo.release.set()
        assert await call == "a"
        await drained
        assert server.in_flight == 0

    async def test_drain_gives_up_after_its_grace(self, rig: Rig) -> None:
        """A call that does not end within the grace is ended by close, with Draining."""
        server = await rig.serve()
        call = asyncio.create_task(rig.peers().call("Echo", "hold_once", {"name": "a"}, timeout=60))
        await until(lambda: "a began" in rig.echo.seen)
        await server.drain(0.05)
        await server.close()
        with pytest.raises(Draining):
            await call

    async def test_calls_during_a_change_of_instances_do_not_fail(self, rig: Rig) -> None:
        """Callers move from a draining instance to its heir, twice, without a failed call; each call runs once."""
        echos = [Echo(), Echo(), Echo()]
        server = await rig.serve(echos[0])
        names = [f"{caller} {number}" for caller in range(3 * 4) for number in range(100)]

        async def call_some(peers: Peers, mine: list[str]) -> None:
            for name in mine:
                await peers.call("Echo", "add", {"name": name}, timeout=BOUND_S)

        # Three processes' worth of connections, each shared by four callers.
        pools = [rig.peers() for _ in range(3)]
        calls = [
            asyncio.create_task(call_some(pools[n % 3], names[n * 100 : (n + 1) * 100])) for n in range(12)
        ]
        await until(lambda: len(echos[0].seen) > 100)
        await server.drain(BOUND_S)
        heir = await rig.serve(echos[1])
        await server.close()
        await until(lambda: len(echos[1].seen) > 100)
        if rig.transport.endpoint().kind == "memory":
            await heir.drain(BOUND_S)
            await rig.serve(echos[2])
        else:
            # Both accept on the same listening socket for a while.
            await rig.serve(echos[2])
            await heir.drain(BOUND_S)
        await heir.close()
        await asyncio.gather(*calls)
        ran = [name for echo in echos for name in echo.seen]
        assert sorted(ran) == sorted(names)
        assert all(echo.seen for echo in echos)

    async def test_drain_ends_streams_without_an_end(self, rig: Rig) -> None:
        """A subscription is told to open anew elsewhere; a bounded stream may finish."""
        server = await rig.serve()
        peers = rig.peers()
        endless = peers.stream("Echo", "ticks")
        bounded = peers.stream("Echo", "count", {"to": 50}, timeout=BOUND_S, prefetch=2)
        assert await anext(endless) == "first"
        assert await anext(bounded) == 0
        drained = asyncio.create_task(server.drain(BOUND_S))
        with pytest.raises(Draining):
            await anext(endless)
        assert [item async for item in bounded] == list(range(1, 50))
        await drained

    async def test_call_waits_for_a_starting_server(self, rig: Rig) -> None:
        """While a server restarts behind its address, calls wait within their budget."""
        server = await rig.serve()
        peers = rig.peers()
        await peers.call("Echo", "who")
        await server.drain(0)
        await server.close()
        call = asyncio.create_task(peers.call("Echo", "add", {"name": "x"}, timeout=BOUND_S))
        await asyncio.sleep(0.02)
        await rig.serve()
        assert await call == 1

    async def test_idempotent_call_survives_a_lost_connection(self, rig: Rig) -> None:
        """A call that may run twice is repeated on a new connection."""
        await rig.serve()
        peers = rig.peers()
        call = asyncio.create_task(
            peers.call("Echo", "hold", {"name": "a"}, timeout=BOUND_S, idempotent=True)
        )
        await until(lambda: "a began" in rig.echo.seen)
        await cut(peers)
        await until(lambda: rig.echo.seen.count("a began") == 2)
        # A new connection may be heard from before the end of the old one.
        await until(lambda: "a cancelled" in rig.echo.seen)
        rig.echo.release.set()
        assert await call == "a"

    async def test_other_call_runs_once_across_a_lost_connection(self, rig: Rig) -> None:
        """A call that must not run twice runs on, and its answer is fetched under the same id."""
        await rig.serve()
        peers = rig.peers()
        call = asyncio.create_task(peers.call("Echo", "hold_once", {"name": "a"}, timeout=BOUND_S))
        await until(lambda: "a began" in rig.echo.seen)
        await cut(peers)
        await peers.ping("Echo")
        rig.echo.release.set()
        assert await call == "a"
        assert rig.echo.seen == ["a began", "a ended"]

    async def test_answer_given_while_cut_off_is_remembered(self, rig: Rig) -> None:
        """A call that ended while its caller was away is answered from memory."""
        server = await rig.serve()
        peers = rig.peers()
        call = asyncio.create_task(peers.call("Echo", "hold_once", {"name": "a"}, timeout=BOUND_S))
        await until(lambda: "a began" in rig.echo.seen)
        rig.instance = "away"
        resolve, back = rig.resolve, asyncio.Event()

        async def away(peer: str, deadline: object) -> object:
            await back.wait()
            return await resolve(peer, deadline)  # type: ignore[arg-type]

        rig.resolve = away  # type: ignore[method-assign,assignment]
        await cut(peers)
        rig.echo.release.set()
        await until(lambda: server.in_flight == 0)
        back.set()
        assert await call == "a"
        assert rig.echo.seen == ["a began", "a ended"]

    async def test_lost_instance_leaves_the_outcome_unknown(self, rig: Rig) -> None:
        """A call that must not run twice is not sent to a new instance, and the error says what is not known."""
        server = await rig.serve()
        peers = rig.peers()
        call = asyncio.create_task(peers.call("Echo", "hold_once", {"name": "a"}, timeout=BOUND_S))
        await until(lambda: "a began" in rig.echo.seen)
        await server.drain(0)
        heir = Echo()
        await rig.serve(heir)
        await cut(peers)
        with pytest.raises(Unreachable) as caught:
            await call
        assert caught.value.details == {"ran": "unknown"}
        assert heir.seen == []

    async def test_forgotten_result_is_not_run_again(self, rig: Rig) -> None:
        """When the answer is no longer held, a duplicate is refused instead of executed."""
        await rig.serve(limits=Limits(remembered_calls=1))
        peers = rig.peers()
        call = asyncio.create_task(peers.call("Echo", "hold_once", {"name": "a"}, timeout=BOUND_S))
        await until(lambda: "a began" in rig.echo.seen)
        back = asyncio.Event()
        resolve = rig.resolve

        async def away(peer: str, deadline: object) -> object:
            await back.wait()
            return await resolve(peer, deadline)  # type: ignore[arg-type]

        other = rig.peers()
        await other.ping("Echo")
        rig.resolve = away  # type: ignore[method-assign,assignment]
        await cut(peers)
        rig.echo.release.set()
        await until(lambda: "a ended" in rig.echo.seen)
        await other.call("Echo", "add", {"name": "pushes the answer out"})
        back.set()
        with pytest.raises(RemoteError, match="no longer remembered"):
            await call
        assert rig.echo.seen.count("a began") == 1

    async def test_lost_connection_ends_a_stream(self, rig: Rig) -> None:
        """A stream does not hang when its peer is gone; its producer is closed."""
        await rig.serve()
        peers = rig.peers()
        items = peers.stream("Echo", "ticks")
        assert await anext(items) == "first"
        await cut(peers)
        with pytest.raises(Unreachable):
            await anext(items)
        await until(lambda: "ticks closed" in rig.echo.seen)

    async def test_nobody_there_is_unreachable(self, rig: Rig) -> None:
        """An address nobody listens at fails long before the budget is over."""
        rig.transport.close()
        if rig.transport.endpoint().kind == "unix":
            rig.transport.path.unlink()  # type: ignore[attr-defined]
        with pytest.raises(Unreachable):
            await rig.peers().call("Echo", "who", timeout=60)

    async def test_breaker_opens_and_a_new_instance_closes_it(
        self, rig: Rig, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Five failures open the breaker, which then refuses at once; a new instance behind the name is tried at once."""
        monkeypatch.setattr(pool, "LOOK_FOR_S", OPEN_S)
        await rig.serve()
        peers = rig.peers()
        whole = rig.transport.endpoint
        broken = whole()
        gone = type(broken)(broken.kind, _nowhere(broken.address), curve_public=broken.curve_public)
        rig.transport.endpoint = lambda: gone  # type: ignore[method-assign]
        for _ in range(2):
            with pytest.raises(Unreachable):
                await peers.call("Echo", "who", timeout=BOUND_S)
        assert peers.breaker("Echo") is BreakerState.OPEN
        rig.transport.endpoint = whole  # type: ignore[method-assign]
        with pytest.raises(Unreachable, match="left alone"):
            await peers.call("Echo", "who", timeout=BOUND_S)
        rig.instance = "new"
        assert await peers.call("Echo", "who") == "nobody"
        assert peers.breaker("Echo") is BreakerState.CLOSED
        assert rig.watcher.breakers == ["open", "half-open", "closed"]

    async def test_errors_of_the_peer_leave_the_breaker_closed(self, rig: Rig) -> None:
        """A peer that answers with errors is alive."""
        await rig.serve()
        peers = rig.peers()
        for _ in range(8):
            with pytest.raises(RemoteError):
                await peers.call("Echo", "crash")
        assert peers.breaker("Echo") is BreakerState.CLOSED

    async def test_old_connection_is_replaced_without_a_failure(self, rig: Rig) -> None:
        """A connection past its age makes room for a new one, which shows a fresh token."""
        tokens: list[str] = []

        def token(audience: str) -> str:
            tokens.append(audience)
            return f"Caller@{audience}"

        server = await rig.serve(auth=True, limits=Limits(connection_age_s=0.05))
        peers = rig.peers(token)
        async with asyncio.timeout(BOUND_S):
            while len(tokens) < 3:
                assert await peers.call("Echo", "who") == "Caller"
        await until(lambda: server.connections <= 1)


def _nowhere(address: str) -> str:
    """An address of the same kind at which nobody listens."""
    return "tcp://127.0.0.1:1" if address.startswith("tcp://") else address + "-gone"
