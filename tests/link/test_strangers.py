"""Somebody on the cable who does not belong to the fleet, or no longer does, or says to be somebody else."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from household import eventually
from rig import ADDRESSES, HERE, Computer, Operator, TwoComputers, eventually_async, two_computers
from wire import DEVICE

from tandem.core.paths import Home, MachineDirs
from tandem.infra import valkey_access
from tandem.infra.nats import nats_binary
from tandem.registry import Registry
from tandem.security import Authority, Trail
from tandem.security.machine import NODE

pytestmark = [pytest.mark.link, pytest.mark.timeout(300)]

LEAF_PORT, NATS_PORT, MONITOR_PORT, TALKER_PORT = 7422, 4222, 8322, 5709
THIRD_ADDRESS = "10.77.0.3"
TALKER = "Talker@mainpc"
INVITATION = re.compile(r"echo (?P<code>[A-Z2-7-]{27}) \| tandem machine join pc2 (?P<place>\S+)")
LOOPBACK = "127.0.0.1"


def stranger(rig: TwoComputers, *, home: Home | None = None, **about: str) -> dict[str, Any]:
    """What somebody on pc2 gets from mainpc's Talker; see :mod:`stranger`. Unless told otherwise it is pc2's Talker."""
    who = {
        "endpoint": f"tcp://{rig.mainpc.address}:{TALKER_PORT}",
        "service": TALKER,
        "server": Authority.open(rig.mainpc.home).machine("mainpc").curve(TALKER).public.decode(),
        "home": str((home or rig.pc2.home).root),
        "machine": "pc2",
        "key_of": "Talker@pc2",
        "token_of": "Talker@pc2",
        "audience": TALKER,
    }
    said = subprocess.run(
        [*rig.pc2.inside, sys.executable, str(HERE / "stranger.py")],
        input=json.dumps(who | about), capture_output=True, text=True, check=True, timeout=90,
    )  # fmt: skip
    answer = json.loads(said.stdout)
    assert isinstance(answer, dict)
    return answer


def refusals(computer: Computer, action: str) -> list[str]:
    """Why its Talker refused what was tried, from the audit trail."""
    return [
        record.detail
        for record in Trail(computer.home.machine(computer.machine).trail).read()
        if record.event == "denied" and record.subject == f"Talker@{computer.machine}:{action}"
    ]


def turned_away(rig: TwoComputers) -> list[str]:
    """Why mainpc's event server refused connections of pc2, from the audit trail."""
    trail = Trail(rig.mainpc.home.machine("mainpc").trail)
    return [found.detail for found in trail.read() if found.event == "denied" and rig.pc2.address in found.by]


async def denied(operator: Operator, action: str) -> int:
    """How many of them it has counted."""
    metrics = await operator.call(TALKER, "metrics")
    found = re.search(rf'^agent_denied_total{{.*action="{action}".*}} (\d+)', metrics, re.MULTILINE)
    return int(found[1]) if found else 0


def leaves(computer: Computer) -> list[str]:
    """The addresses of the servers that are linked to its event server."""
    with computer.entered():
        connection = http.client.HTTPConnection(LOOPBACK, MONITOR_PORT, timeout=5)
        try:
            connection.connect()
        except OSError:
            return ["it is being restarted"]
    with contextlib.closing(connection):
        connection.request("GET", "/leafz")
        return [leaf["ip"] for leaf in json.load(connection.getresponse()).get("leafs", [])]


def test_plain_text_gets_nothing_and_is_on_record(rig: TwoComputers) -> None:
    """An event server's link port is silent without TLS, an agent's port without CURVE; both attempts are told of, and
    nothing else of a computer answers the other one."""
    with rig.pc2.entered():
        for port in (NATS_PORT, MONITOR_PORT):
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((rig.mainpc.address, port), 10)
        link = socket.create_connection((rig.mainpc.address, LEAF_PORT), 60)
    heard = b""
    with link:
        link.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\nPING\r\n')
        with contextlib.suppress(ConnectionResetError):
            while piece := link.recv(4096):
                heard += piece
    # At most a TLS alert (RFC 8446, 6), which is seven bytes.
    assert len(heard) <= 7 and heard[:1] in (b"", b"\x15")
    eventually(lambda: any("TLS Handshake Failure" in why for why in turned_away(rig)), "the event server to tell of it")
    assert stranger(rig, machine="") == {"frames": 0}
    eventually(lambda: "a connection without CURVE" in refusals(rig.mainpc, "CONNECT"), "the agent to tell of it")
    assert "refused within the last hour" in rig.mainpc.tandem("status").out


async def test_nobody_is_taken_for_somebody_else(rig: TwoComputers) -> None:
    """A computer's own keys serve its agents only in their own name, at the callee a token was made for, once for each; whatever
    else is tried with them is refused and counted."""
    rig.await_link("up")
    eventually(lambda: stranger(rig) == {"result": "hello"}, "the honest one to be served")
    async with rig.mainpc.operator() as here:
        before = await denied(here, "HELLO")
    for about, why in (
        ({"token_of": "Ghost@pc2"}, "the connection's key belongs to Talker@pc2, the token to Ghost@pc2"),
        ({"token_of": "node@pc2"}, "the connection's key belongs to Talker@pc2"),
        ({"token_of": "Talker@mainpc"}, "pc2"),
        ({"audience": "Talker@pc2"}, "Talker@pc2"),
        ({"replay": "yes"}, "the token of Talker@pc2 was shown before"),
    ):
        answer = await asyncio.to_thread(stranger, rig, **about)
        assert answer["error"] == "permission_denied" and why in answer["message"], (about, answer)
    async with rig.mainpc.operator() as here:
        assert await denied(here, "HELLO") == before + 5
    eventually(lambda: any("the token to Ghost@pc2" in why for why in refusals(rig.mainpc, "HELLO")), "the trail")
    # The key of an agent that was never started: of the right computer, yet nobody's.
    assert stranger(rig, key_of="Ghost@pc2", token_of="Ghost@pc2")["error"] == "unreachable"
    eventually(lambda: any("unknown key" in why for why in refusals(rig.mainpc, "CONNECT")), "the trail")
    assert stranger(rig) == {"result": "hello"}


@pytest.fixture
def to_be_robbed(namespaces: None, tmp_path: Path) -> Iterator[TwoComputers]:
    """Both up; not shared, since one is removed from the fleet."""
    with two_computers(tmp_path) as rig:
        rig.up()
        rig.await_link("up")
        yield rig


async def test_what_was_stolen_is_worthless_after_the_removal(to_be_robbed: TwoComputers, tmp_path: Path) -> None:
    """A copy of everything a computer has serves a thief at a third address until that computer is removed: then its link
    ends, its calls are refused, and the names are forgotten, until the computer joins anew."""
    mainpc, pc2 = to_be_robbed
    async with mainpc.operator() as here:
        await eventually_async(lambda: reaches_twin(here), "the first call")
        await asyncio.to_thread(pc2.kill_everything)
        loot = Home(tmp_path / "loot")
        shutil.copytree(pc2.home.root, loot.root, ignore=shutil.ignore_patterns("*.sock"))
        move_to_third_address(pc2)
        with stolen_event_server(to_be_robbed, loot) as log:
            await eventually_async(lambda: is_linked(mainpc, [THIRD_ADDRESS]), "the thief to be linked")
            assert await asyncio.to_thread(stranger, to_be_robbed, home=loot) == {"result": "hello"}
            assert await knows_twin(mainpc)

            assert (await asyncio.to_thread(mainpc.tandem, "machine", "remove", "pc2")).status == 0
            await eventually_async(lambda: is_linked(mainpc, []), "the thief's link to end")
            eventually(lambda: "Authorization Violation" in log.read_text(), "the thief to be told")
            # Agents look at the list of what is revoked once a second.
            shut_out = await eventually_async(lambda: refused(to_be_robbed, loot), "the thief to be refused")
            assert shut_out["error"] in ("permission_denied", "unreachable"), shut_out
            await eventually_async(lambda: knows_no_twin(mainpc), "the names to be forgotten")
            assert leaves(mainpc) == []
        assert (await asyncio.to_thread(stranger, to_be_robbed, home=loot))["error"] == shut_out["error"]

        await asyncio.to_thread(join_anew, mainpc, pc2)
        await eventually_async(lambda: reaches_twin(here), "the new computer to be reached")
    assert (await asyncio.to_thread(stranger, to_be_robbed, home=loot))["error"] in ("permission_denied", "unreachable")


async def refused(rig: TwoComputers, loot: Home) -> dict[str, Any] | None:
    """What the thief is told, once it gets no answer any more."""
    answer = await asyncio.to_thread(stranger, rig, home=loot)
    return answer if "error" in answer else None


async def reaches_twin(operator: Operator) -> bool:
    return not (await operator.twin("hello"))["error"]


async def knows_twin(computer: Computer) -> bool:
    """Whether the names known on mainpc include one of pc2."""
    dirs = MachineDirs(computer.home.machine("mainpc").root, computer.run_root / "mainpc")
    machine = Authority.open(computer.home).machine("mainpc")
    registry = Registry(valkey_access(machine, dirs, "control", NODE))
    try:
        return any(lease.machine == "pc2" for lease in await registry.list())
    finally:
        await registry.close()


async def knows_no_twin(computer: Computer) -> bool:
    return not await knows_twin(computer)


async def is_linked(computer: Computer, addresses: list[str]) -> bool:
    return await asyncio.to_thread(leaves, computer) == addresses


def move_to_third_address(computer: Computer) -> None:
    """Whatever it does on the network from now on comes from an address nobody has met."""
    for command in (
        f"addr add {THIRD_ADDRESS}/24 dev {DEVICE}",
        f"route replace {ADDRESSES['mainpc']}/32 dev {DEVICE} src {THIRD_ADDRESS}",
    ):
        subprocess.run(["ip", "-n", computer.namespace, *command.split()], check=True)


@contextlib.contextmanager
def stolen_event_server(rig: TwoComputers, loot: Home) -> Iterator[Path]:
    """pc2's event server, run by the thief with the copied keys; gives its log."""
    config = loot.machine("pc2").nats / "nats.conf"
    config.write_text(config.read_text().replace(str(rig.pc2.home.root), str(loot.root)))
    log = loot.root / "thief.log"
    with log.open("wb") as out:
        server = subprocess.Popen([*rig.pc2.inside, nats_binary(), "-c", str(config)], stdout=out, stderr=out)
    try:
        yield log
    finally:
        server.kill()
        server.wait()


def join_anew(mainpc: Computer, pc2: Computer) -> None:
    """The owner of pc2 is invited again, with new keys and at its old address."""
    subprocess.run(["ip", "-n", pc2.namespace, *f"route del {mainpc.address}/32 dev {DEVICE}".split()], check=True)
    (pc2.home.ca).rename(pc2.home.root / "ca-of-old")
    waiting = mainpc.begin("machine", "invite", "pc2")
    found = eventually(lambda: INVITATION.search(waiting.out) or waiting.process.poll(), "an invitation")
    assert isinstance(found, re.Match), waiting.end().text
    said = pc2.tandem("machine", "join", "pc2", found["place"], stdin=found["code"].encode())
    assert said.status == 0, said.text
    assert waiting.end().status == 0
    said = pc2.tandem("up")
    assert said.status == 0, said.text
