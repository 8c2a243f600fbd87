"""Two bare computers become one fleet by the command line, and a computer that lost its trust is out of it."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from household import Running, eventually
from rig import HERE, Computer, TwoComputers, eventually_async, two_computers

from tandem.security import Authority, Trail

pytestmark = [pytest.mark.link, pytest.mark.timeout(400)]

COMMAND = re.compile(r"echo (?P<code>[A-Z2-7-]{27}) \| tandem machine join pc2 (?P<place>\S+)")


@pytest.fixture
def bare(namespaces: None, tmp_path: Path) -> Iterator[TwoComputers]:
    """Two computers that have never heard of each other; only the first has a fleet file, and no address is set."""
    with two_computers(tmp_path, join=False) as computers:
        for computer in computers:
            for name in ("MAINPC_IP", "PC2_IP"):
                del computer.environment[name]
        forget_the_fleet_file(computers.pc2)
        yield computers


def forget_the_fleet_file(computer: Computer) -> None:
    """Nothing but Tandem is on it: neither a fleet file nor the agents' code."""
    computer.fleet.unlink()
    (computer.directory / "link_agents").unlink()
    computer.environment["TANDEM_FLEET"] = ""


def invited(mainpc: Computer, *words: str) -> tuple[Running, str, str]:
    """An invitation that waits, its code and its place."""
    waiting = mainpc.begin("machine", "invite", "pc2", *words)
    found = eventually(lambda: COMMAND.search(waiting.out) or waiting.process.poll(), "an invitation")
    assert isinstance(found, re.Match), waiting.end().text
    return waiting, found["code"], found["place"]


def join(pc2: Computer, code: str, place: str) -> None:
    said = pc2.tandem("machine", "join", "pc2", place, stdin=code.encode())
    assert said.status == 0, said.text
    assert "Received 1 file of code." in said.out


def make_one_fleet(bare: TwoComputers) -> None:
    waiting, code, place = invited(bare.mainpc)
    join(bare.pc2, code, place)
    assert waiting.end().status == 0
    bare.up()


async def talks(computer: Computer, own: str, twin: str) -> str:
    """Empty when an agent there reaches its twin on the other computer, else the error's code."""
    async with computer.operator() as operator:
        outcome = await operator.call(f"Talker@{own}", "call_twin", twin=f"Talker@{twin}", text="x")
    return str(outcome["error"])


async def test_from_two_bare_computers_to_one_fleet_and_out_again(bare: TwoComputers) -> None:
    """A wrong code gets nothing; the right one is all pc2 needs, the agents' code included; a revoked agent, and then the removed computer, is
    shut out while it runs, and each refusal is on record."""
    mainpc, pc2 = bare
    waiting, code, place = invited(mainpc)
    assert place == mainpc.address
    wrong = pc2.tandem("machine", "join", "pc2", place, stdin=b"AAAAAA-AAAAAA-AAAAAA-AAAAAA")
    assert wrong.status == 1 and "does not admit" in wrong.err
    nobody = pc2.tandem("machine", "join", "pc2", pc2.address, stdin=code.encode())
    assert nobody.status == 1 and "no answer" in nobody.err
    join(pc2, code, place)
    received = pc2.home.root / "fleet"
    assert sorted(str(path.relative_to(received)) for path in received.rglob("*.*")) == ["fleet.yaml", "link_agents/talker.py"]
    said = waiting.end()
    assert said.status == 0 and f"pc2 joined from {pc2.address}" in said.out
    again = pc2.tandem("machine", "join", "pc2", place, stdin=code.encode())
    assert again.status == 1 and "no answer" in again.err  # a member may come again, but nobody waits for it
    renamed = pc2.tandem("machine", "join", "mainpc", place, stdin=code.encode())
    assert renamed.status == 78 and "belongs to a fleet already" in renamed.err
    replayed = pc2.tandem("machine", "join", "pc2", place, stdin=code.encode(), TANDEM_HOME=str(pc2.directory / "thief"))
    assert replayed.status == 1 and "no answer" in replayed.err

    bare.up()
    for computer, own, twin in ((mainpc, "mainpc", "pc2"), (pc2, "pc2", "mainpc")):
        await eventually_async(lambda c=computer, o=own, t=twin: _is(talks(c, o, t), ""), f"{own} to reach {twin}")
        rows = {row["name"]: row for row in computer.tandem("machine", "list", "--json").json}
        assert rows[own]["where"] == "here" and rows[own]["state"] == "running" and rows[own]["good_until"]
        assert rows[twin]["where"] == "elsewhere" and rows[twin]["host"] == (pc2 if twin == "pc2" else mainpc).address

    assert mainpc.tandem("machine", "revoke", "Talker@pc2").status == 0
    await eventually_async(lambda: _is_not(talks(pc2, "pc2", "mainpc"), ""), "the revoked agent to be refused")
    eventually(lambda: "revocation learned" in pc2.tandem("machine", "trail").out, "pc2 to learn of it")
    assert pc2.tandem("restart", "Talker").status == 0
    await eventually_async(lambda: _is(talks(pc2, "pc2", "mainpc"), ""), "its new identity to be good")

    assert mainpc.tandem("machine", "remove", "pc2").status == 0
    eventually(lambda: "pc2 was expelled" in pc2.tandem("doctor").out, "pc2 to learn that it is out")
    assert "revoked" in pc2.tandem("machine", "list").out
    back = pc2.tandem("machine", "join", "pc2", place, stdin=code.encode())
    assert back.status == 1 and "pc2 was expelled" in back.err
    events = {record.event for record in Trail(mainpc.home.machine("mainpc").trail).read()}
    assert {"invited", "join refused", "joined", "identity revoked", "machine removed", "denied"} <= events
    assert "refused within the last hour" in mainpc.tandem("status").out


async def test_what_changes_later_is_brought_by_the_same_commands(bare: TwoComputers) -> None:
    """A computer that joins while mainpc runs is linked without a restart there. New code on mainpc: `apply` there says that pc2
    keeps what it runs; invited again, pc2 gets it while it runs, puts it in service with its own `apply`, and is who it was."""
    mainpc, pc2 = bare
    code_of_mainpc = mainpc.directory / "link_agents"
    code_of_mainpc.unlink()
    shutil.copytree(HERE / "link_agents", code_of_mainpc, ignore=shutil.ignore_patterns("__pycache__"))
    # So that mainpc expects somebody from the beginning.
    mainpc.environment |= {"MAINPC_IP": mainpc.address, "PC2_IP": pc2.address}
    assert mainpc.tandem("up").status == 0
    waiting, code, place = invited(mainpc)
    join(pc2, code, place)
    assert "There: tandem up" in waiting.end().out
    assert pc2.tandem("up").status == 0
    bare.await_link("up")
    identity = (pc2.home.ca / "machines" / "pc2" / "seed").read_bytes()
    await eventually_async(lambda: _is(said_by_twin(mainpc), "x"), "the twin on pc2")

    talker = code_of_mainpc / "talker.py"
    talker.write_text(talker.read_text().replace("        return text\n", "        return text.upper()\n", 1))
    applied = mainpc.tandem("apply", "--min-healthy", "0")
    assert applied.status == 0, applied.text
    assert "pc2 is another computer and keeps what it runs" in applied.out and "tandem machine invite pc2" in applied.out
    assert await said_by_twin(mainpc) == "x"
    for computer, way in ((mainpc, "tandem machine invite pc2, its command over there"), (pc2, "tandem machine invite pc2 on mainpc")):
        line = eventually(lambda c=computer: told_apart(c), "status to tell that they differ")
        assert "pc2 (release dev)" in line and "differ in link_agents; to bring pc2 the same" in line and way in line

    waiting, code, place = invited(mainpc)
    said = pc2.tandem("machine", "join", "pc2", place, stdin=code.encode())
    assert said.status == 0, said.text
    assert "Received 1 file of code." in said.out and "still pc2" in said.out
    assert "has this fleet file and code now. There: tandem apply" in waiting.end().out
    assert "mainpc is another computer and keeps what it runs" in pc2.tandem("plan").out
    applied = pc2.tandem("apply", "--min-healthy", "0")
    assert applied.status == 0, applied.text
    await eventually_async(lambda: _is(said_by_twin(mainpc), "X"), "the new code on pc2")
    for computer in bare:
        eventually(lambda c=computer: told_apart(c) == "", "status to see that they agree")
    assert (pc2.home.ca / "machines" / "pc2" / "seed").read_bytes() == identity
    assert Authority.open(mainpc.home).epochs == {}


def told_apart(computer: Computer) -> str:
    """What `tandem status` says of computers that run different releases; empty when it says nothing."""
    return next((line for line in computer.tandem("status").out.splitlines() if " differ in " in line), "")


async def said_by_twin(mainpc: Computer) -> str:
    """What pc2's Talker answers to an x; how it failed when it did."""
    async with mainpc.operator() as operator:
        outcome = await operator.twin("x")
    return str(outcome["result"] or outcome["error"])


async def test_new_keys_of_the_first_computer_are_taken_by_the_second(rig: TwoComputers) -> None:
    """`tandem machine rotate` there: pc2 learns that the former identity is revoked, hears the machine under its new one
    although the cable was never out, and calls pass both ways."""
    said = rig.mainpc.tandem("machine", "rotate", "mainpc")
    assert said.status == 0, said.text
    eventually(lambda: "revocation learned" in rig.pc2.tandem("machine", "trail").out, "pc2 to learn of it")
    eventually(lambda: rig.pc2.logs("node", "--grep", "mainpc has a new identity"), "pc2 to hear it anew")
    for computer, own, twin in ((rig.mainpc, "mainpc", "pc2"), (rig.pc2, "pc2", "mainpc")):
        await eventually_async(lambda c=computer, o=own, t=twin: _is(talks(c, o, t), ""), f"{own} to reach {twin}")


async def _is(what: object, wanted: str) -> bool:
    return await what == wanted  # type: ignore[misc]


async def _is_not(what: object, unwanted: str) -> bool:
    return await what != unwanted  # type: ignore[misc]
