"""A second computer, with a home of its own, joins over TCP and links its servers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ports import free_port

from tandem.core.errors import ConfigError, PermissionDenied, Unreachable
from tandem.core.paths import Home
from tandem.infra import Hub, JoinDesk, Leaf, join, reload
from tandem.infra.probe import http_get
from tandem.security import Authority, Bundle, Guest, Host
from tandem.security.joining import PIECE_BYTES

pytestmark = pytest.mark.integration


class Door:
    """The founder's open door."""

    def __init__(self, home: Home, authority: Authority) -> None:
        self.host = Host(home, authority)
        self.joined: list[str] = []
        self.refused: list[str] = []
        self.carry(b"")
        self.port = free_port()

    def carry(self, code: bytes) -> None:
        """Give ``code`` along, once the door is opened again."""
        self.desk = JoinDesk(
            self.host,
            admitted=lambda arrival: self.joined.append(arrival.machine),
            refused=lambda where, why: self.refused.append(why),
            parcel=code,
        )

    async def open(self) -> None:
        await self.desk.open("127.0.0.1", self.port)

    async def close(self) -> None:
        await self.desk.close()


@pytest.fixture
async def door(tmp_path: Path, authority: Authority) -> AsyncIterator[Door]:
    door = Door(Home(tmp_path / "a home"), authority)
    await door.open()
    yield door
    await door.close()


async def test_a_second_computer_joins_and_its_server_links(
    make_servers, authority, door: Door, tmp_path: Path, eventually
) -> None:
    """From an empty home and a code to a linked nats-server, without a restart of the first computer's."""
    hub = make_servers("mainpc", link=Hub({}))
    await hub.start("nats")
    guest = Guest(Home(tmp_path / "second"), "pc2", door.host.invite("pc2"))
    joined = await join(guest, "127.0.0.1", door.port)
    assert door.joined == ["pc2"]
    hub.link = Hub({"pc2": [authority.record("pc2").leaf]})
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
    await door.close()
    guest = Guest(Home(tmp_path / "second"), "pc2", code)
    with pytest.raises(Unreachable):
        await join(guest, "127.0.0.1", door.port)
    await door.open()
    await join(Guest(Home(tmp_path / "second"), "pc2", code), "127.0.0.1", door.port)
    assert door.joined == ["pc2"]


CODE_OF_THE_FLEET = bytes(range(256)) * 4096
"""A MiB: several messages."""


async def test_the_fleets_code_comes_along_before_the_computer_counts_as_joined(
    door: Door, authority: Authority, tmp_path: Path
) -> None:
    """Every byte arrives in order, progress is told, and the first computer hears of it only when all is installed."""
    await door.close()
    door.carry(CODE_OF_THE_FLEET)
    await door.open()
    home = Home(tmp_path / "second")
    received, told = [], []

    def keep(bundle: Bundle, code: bytes) -> None:
        assert door.joined == [] and not (home.ca / "root").exists()
        received.append(code)

    guest = Guest(home, "pc2", door.host.invite("pc2"))
    await join(guest, "127.0.0.1", door.port, keep=keep, progress=lambda *amounts: told.append(amounts))
    assert received == [CODE_OF_THE_FLEET]
    assert told[-1] == (len(CODE_OF_THE_FLEET), len(CODE_OF_THE_FLEET)) and len(told) > 2
    assert door.joined == ["pc2"]


async def test_a_computer_that_objects_does_not_join_and_may_come_again(door: Door, tmp_path: Path) -> None:
    """Whether it objects before the code or cannot keep it, the first computer is told why, and the code still serves it."""
    await door.close()
    door.carry(CODE_OF_THE_FLEET)
    await door.open()
    code = door.host.invite("pc2")
    home = Home(tmp_path / "second")

    def object_to(*_: object) -> None:
        raise ConfigError("the disk is full")

    for objection in ({"consider": object_to}, {"keep": object_to}):
        with pytest.raises(ConfigError, match="disk is full"):
            await join(Guest(home, "pc2", code), "127.0.0.1", door.port, **objection)
        assert not (home.ca / "root").exists()
    assert door.joined == [] and ["disk is full" in why for why in door.refused] == [True, True]
    await join(Guest(home, "pc2", code), "127.0.0.1", door.port)
    assert door.joined == ["pc2"]


async def test_a_connection_cut_on_the_way_costs_another_try(door: Door, tmp_path: Path) -> None:
    """When the code arrives in part, nothing is installed anywhere; the same command later succeeds."""
    await door.close()
    door.carry(CODE_OF_THE_FLEET)
    await door.open()
    code = door.host.invite("pc2")

    async def cut(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, to_door = await asyncio.open_connection("127.0.0.1", door.port)
        size = int.from_bytes(head := await reader.readexactly(4), "big")
        to_door.write(head + await reader.readexactly(size))
        writer.write(await there.readexactly(300_000))
        await writer.drain()
        to_door.transport.abort()
        writer.close()

    bad_line = await asyncio.start_server(cut, "127.0.0.1", 0)
    home = Home(tmp_path / "second")
    with pytest.raises(Unreachable):
        await join(Guest(home, "pc2", code), "127.0.0.1", bad_line.sockets[0].getsockname()[1])
    bad_line.close()
    assert door.joined == [] and not (home.ca / "root").exists()
    await join(Guest(home, "pc2", code), "127.0.0.1", door.port)
    assert door.joined == ["pc2"]


async def test_pieces_changed_or_out_of_order_are_refused(door: Door, tmp_path: Path) -> None:
    """Somebody on the line who swaps two parts of the code, or flips a bit of one, is noticed before anything is kept."""
    code = door.host.invite("pc2")
    guest = Guest(Home(tmp_path / "second"), "pc2", code)
    question = guest.question()
    door.host.admit(question)
    first, second = list(door.host.pieces(question, CODE_OF_THE_FLEET))[:2]
    assert guest.piece(0, first) + guest.piece(1, second) == CODE_OF_THE_FLEET[: 2 * PIECE_BYTES]
    flipped = first[:-1] + bytes([first[-1] ^ 1])
    for number, message in ((0, second), (1, first), (0, flipped), (0, question), (0, b"")):
        with pytest.raises(PermissionDenied):
            guest.piece(number, message)
