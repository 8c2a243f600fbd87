"""A second computer, with a home of its own, joins over TCP and links its servers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tandem.core.errors import PermissionDenied, Unreachable
from tandem.core.paths import Home
from tandem.infra import Hub, JoinDesk, Leaf, join, reload
from tandem.infra.probe import http_get
from tandem.security import Authority, Guest, Host

pytestmark = pytest.mark.integration


class Door:
    """The founder's open door."""

    def __init__(self, home: Home, authority: Authority) -> None:
        self.host = Host(home, authority)
        self.joined: list[str] = []
        self.desk = JoinDesk(self.host, admitted=lambda arrival: self.joined.append(arrival.machine))
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]


@pytest.fixture
async def door(tmp_path: Path, authority: Authority) -> AsyncIterator[Door]:
    door = Door(Home(tmp_path / "a home"), authority)
    await door.desk.open("127.0.0.1", door.port)
    yield door
    await door.desk.close()


async def test_a_second_computer_joins_and_its_server_links(
    make_servers, authority, door: Door, tmp_path: Path, eventually
) -> None:
    """From an empty home and a code to a linked nats-server, without a restart of the first computer's."""
    hub = make_servers("mainpc", link=Hub({}))
    await hub.start("nats")
    guest = Guest(Home(tmp_path / "second"), "pc2", door.host.invite("pc2"))
    joined = await join(guest, "127.0.0.1", door.port)
    assert door.joined == ["pc2"]
    hub.link = Hub({"pc2": authority.record("pc2").leaf})
    await reload(hub.specs()["nats"], hub.processes["nats"].pid)
    leaf = make_servers("pc2", link=Leaf("mainpc", "127.0.0.1", hub.ports.leaf))
    leaf.authority = joined
    await leaf.start("nats")

    async def linked() -> bool:
        return b'"leafnodes": 1' in (await http_get(hub.ports.monitor, "/leafz"))[1]

    await eventually(linked)


async def test_a_wrong_code_gets_no_answer(door: Door, tmp_path: Path) -> None:
    """The door closes on a wrong code without a word, and goes on serving the right one."""
    code = door.host.invite("pc2")
    wrong = Guest(Home(tmp_path / "wrong"), "pc2", "AAAAAA-AAAAAA-AAAAAA-AAAAAA")
    with pytest.raises(PermissionDenied, match="does not admit"):
        await join(wrong, "127.0.0.1", door.port)
    assert door.joined == []
    await join(Guest(Home(tmp_path / "right"), "pc2", code), "127.0.0.1", door.port)
    assert door.joined == ["pc2"]


async def test_junk_and_silence_do_not_block_the_door(door: Door, tmp_path: Path) -> None:
    """Half a message, a huge length and a silent connection leave the door open for the invited."""
    held = []
    for junk in (b"", b"\x00\x00", b"\xff\xff\xff\xff", b"\x00\x00\x00\x04junk"):
        _, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(junk)
        await writer.drain()
        held.append(writer)
    await join(Guest(Home(tmp_path / "right"), "pc2", door.host.invite("pc2")), "127.0.0.1", door.port)
    assert door.joined == ["pc2"]
    for writer in held:
        writer.close()


async def test_a_closed_door_is_unreachable(door: Door, tmp_path: Path) -> None:
    """Without a door the guest is told that nobody is there, and keeps its place for another attempt."""
    code = door.host.invite("pc2")
    await door.desk.close()
    guest = Guest(Home(tmp_path / "second"), "pc2", code)
    with pytest.raises(Unreachable):
        await join(guest, "127.0.0.1", door.port)
    await door.desk.open("127.0.0.1", door.port)
    await join(Guest(Home(tmp_path / "second"), "pc2", code), "127.0.0.1", door.port)
    assert door.joined == ["pc2"]
