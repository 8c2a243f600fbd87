"""What somebody on the cable gets to see."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import pytest
from rig import Operator, TwoComputers, eventually_async

from tandem.core.paths import Home

pytestmark = [pytest.mark.link, pytest.mark.timeout(400)]

PAYLOAD = "the-kettle-is-on-the-hob"
PORT = 5000


async def test_a_capture_shows_no_plain_text(rig: TwoComputers, tmp_path: Path) -> None:
    """Neither arguments, results and events nor tokens, seeds, passwords or a server's greeting cross the wire readable;
    all were sent."""
    capture = tmp_path / "wire.pcap"
    rig.wire.tell(f"capture {capture}")
    # Fresh connections, so that greetings, with their tokens, are on the wire, too; first of the event servers.
    rig.wire.tell("cut")
    await asyncio.to_thread(rig.await_link, "cut")
    rig.wire.tell("heal")
    await asyncio.to_thread(rig.await_link, "up")
    for computer in rig:
        said = computer.tandem("restart", "Talker")
        assert said.status == 0, said.text
    async with rig.operators() as both:
        for operator in both:

            async def reaches(operator: Operator = operator) -> bool:
                return not (await operator.twin("first"))["error"]

            await eventually_async(reaches, "a call across")
            for _ in range(20):
                outcome = await operator.twin(f"{PAYLOAD}-{operator.machine}")
                assert not outcome["error"], outcome
            await operator.tell(f"{PAYLOAD}-told-{operator.machine}", 20)
        for operator in both:

            async def has_heard(operator: object = operator) -> bool:
                return len(await operator.heard(f"{PAYLOAD}-told")) == 40  # type: ignore[attr-defined]

            await eventually_async(has_heard, "all events to cross")
    _say_plainly(rig, b"control-" + PAYLOAD[::-1].encode())
    rig.wire.tell("capture -")
    seen = capture.read_bytes()
    assert b"control-" + PAYLOAD[::-1].encode() in seen, "the capture does not work"
    assert len(seen) > 20_000
    readable = [what for what, secret in _secrets(rig) if secret in seen]
    assert readable == []


def _secrets(rig: TwoComputers) -> list[tuple[str, bytes]]:
    """Everything that must not be readable, and what it is."""
    found = [
        ("a payload", PAYLOAD.encode()),
        ("a subject of an event", b"link.told"),
        ("an action's name", b"echo"),
        ("a JSON web token", b"eyJhbGciOi"),
        ("a greeting of NATS", b"INFO {"),
        ("a login of NATS", b"CONNECT {"),
        ("the name of a server", b"server_name"),
    ]
    for computer in rig:
        found += _keys_of(computer.home)
    return found


def _keys_of(home: Home) -> list[tuple[str, bytes]]:
    """The private files of a CA, whole and without their PEM armour."""
    files = [path for path in home.ca.rglob("*") if path.is_file() and path.stat().st_mode & 0o077 == 0]
    assert files
    keys = [(path.name, path.read_bytes()) for path in files]
    armoured = [(name, line) for name, key in keys for line in key.splitlines() if len(line) > 40]
    return [(name, key) for name, key in keys + armoured if len(key) >= 16]


def _say_plainly(rig: TwoComputers, words: bytes) -> None:
    """Send something readable: what is not found in a capture that misses this proves nothing."""
    received = []
    with rig.pc2.entered():
        receiver = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        receiver.bind((rig.pc2.address, PORT))
        receiver.settimeout(30)
    listening = threading.Thread(target=lambda: received.append(receiver.recv(1000)))
    listening.start()
    with rig.mainpc.entered(), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(words, (rig.pc2.address, PORT))
    listening.join()
    receiver.close()
    assert received == [words]
