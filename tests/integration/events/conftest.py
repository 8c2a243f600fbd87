"""Two agents on the bus of one machine, and what tests of the bus share."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tandem.events import Bus, ensure_streams

sys.path.insert(0, str(Path(__file__).parent))


@pytest.fixture
async def bus(nats_server):
    """A connected bus of the agent Writer, streams in place."""
    bus = Bus(nats_server.access, "Writer")
    await bus.connect(20)
    await ensure_streams(await bus.connection.client(), "mainpc")
    yield bus
    await bus.close()


@pytest.fixture
async def reader(nats_server, bus):
    """A connected bus of another agent."""
    reader = Bus(nats_server.access, "Reader")
    await reader.connect(20)
    yield reader
    await reader.close()
