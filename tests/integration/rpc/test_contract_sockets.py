"""The RPC contract over real sockets, on both event loops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import uvloop
from rpc_contract import RpcContract
from rpc_contract_failures import RpcFailureContract
from rpc_contract_sessions import RpcSessionContract
from rpc_rig import Rig, UnixTransport, ZmqTransport

pytestmark = [
    pytest.mark.integration,
    # Its successor is a hook that would apply to every other test of the session as well.
    pytest.mark.filterwarnings('ignore:Overriding the "event_loop_policy" fixture:DeprecationWarning'),
]


@pytest.fixture(params=[asyncio.DefaultEventLoopPolicy, uvloop.EventLoopPolicy], ids=["asyncio", "uvloop"])
def event_loop_policy(request: pytest.FixtureRequest) -> asyncio.AbstractEventLoopPolicy:
    policy: asyncio.AbstractEventLoopPolicy = request.param()
    return policy


@pytest.fixture(params=["unix", "zmq", "curve"])
async def rig(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Rig]:
    match request.param:
        case "unix":
            rig = Rig(UnixTransport(tmp_path))
        case kind:
            rig = Rig(ZmqTransport(encrypted=kind == "curve"))
    yield rig
    await rig.close()


class TestSockets(RpcContract):
    """See :class:`RpcContract`."""


class TestSocketFailures(RpcFailureContract):
    """See :class:`RpcFailureContract`."""


class TestSocketSessions(RpcSessionContract):
    """See :class:`RpcSessionContract`."""
