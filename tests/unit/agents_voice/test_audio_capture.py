"""The microphone is held exactly as long as somebody uses it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from tandem.agent.testing import Member, fleet_of, virtual_time
from tandem.core.errors import TandemError, Unavailable
from tandem_agents.audio_interface.audio_capture import AudioCapture
from tandem_agents.audio_interface.contracts import Capture
from tandem_agents.audio_interface.sound_device import SoundDevice
from tandem_agents.engines.kinds import Pcm

EARS = Member(AudioCapture, audio="none", max_sessions=1)


class Device:
    """A microphone, and itself the recording it makes. Opens once ``may_open`` is set."""

    def __init__(self) -> None:
        self.may_open = threading.Event()
        self.broken = False
        self.state = "closed"

    def record(self, arrived: Callable[[Pcm], None]) -> Device:
        self.state = "opening"
        assert self.may_open.wait(60)
        if self.broken:
            raise Unavailable("somebody else has it")
        self.state = "open"
        return self

    def stop(self) -> None:
        self.state = "closed"


def connect(agent: AudioCapture, device: Device) -> None:
    """Plug it in."""
    agent._microphone = SoundDevice(lambda *, look_again: device)  # type: ignore[assignment]


@virtual_time
async def test_a_microphone_that_does_not_open_takes_no_place() -> None:
    """The reason is told, and the next one may try at once."""
    device = Device()
    device.may_open.set()
    async with fleet_of(EARS) as fleet:
        connect(fleet.agent(AudioCapture), device)
        device.broken = True
        with pytest.raises(Unavailable, match="somebody else"):
            await fleet.peer(Capture).open("microphone")
        device.broken = False
        session = await fleet.peer(Capture).open("microphone")
        assert device.state == "open"
        await fleet.peer(Capture).close(session)
        assert device.state == "closed"


@virtual_time
async def test_who_gives_up_while_it_opens_leaves_no_microphone_open() -> None:
    """The device that opens after its caller has gone is closed again."""
    device = Device()
    async with fleet_of(EARS) as fleet:
        agent = fleet.agent(AudioCapture)
        connect(agent, device)
        opening = asyncio.ensure_future(fleet.peer(Capture).open("microphone"))
        while device.state != "opening":  # noqa: ASYNC110 - a thread says so
            await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises((asyncio.CancelledError, TandemError)):
            await opening
        device.may_open.set()
        async with asyncio.timeout(60):
            while device.state != "closed" or len(agent._sessions):  # noqa: ASYNC110 - a thread says so
                await asyncio.sleep(0.1)
