"""The RPC contract over the memory transport."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from rpc_contract import RpcContract
from rpc_contract_failures import RpcFailureContract
from rpc_contract_sessions import RpcSessionContract
from rpc_rig import MemoryTransport, Rig


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    rig = Rig(MemoryTransport())
    yield rig
    await rig.close()


class TestMemory(RpcContract):
    """See :class:`RpcContract`."""


class TestMemoryFailures(RpcFailureContract):
    """See :class:`RpcFailureContract`."""


class TestMemorySessions(RpcSessionContract):
    """See :class:`RpcSessionContract`."""
