"""Two computers: round trips over the cable beside a bare CURVE echo, the price of identity, joining, noticing a cut, catching up.

    sudo python benchmarks/link.py [--rounds 3] [--messages 10000] [--json]

Needs root, `ip` and `nsenter`. Two network namespaces play two computers. Round trips are measured over a veth pair, so that
nothing but the kernel is between the two processes: one process asks ours, ours without identity, and the bare echo in turns of 50
calls, and a ratio is the median of the ratios of neighbouring turns, so that whatever else the computer does meets all
three alike. Everything else is measured with two whole fleets on the cable of
tests/link, a userspace process that can be cut:

- `join_s`: `tandem machine join` on the second computer, while the first one invites;
- `cut_noticed_s`, `blackhole_noticed_s`: until the slower of the two computers counts the other as cut off, after the cable
  was pulled, and after packets of one side began to vanish; the slowest round;
- `call_fails_s`: until a call that was under way at that moment has failed; the slowest round;
- `calls_again_s`: from the cable's return until a call passes again; the slowest round;
- `resync_s`: events are told on one side while the cable is out, and the clock runs from its return until the agent on the
  other side has handled the last of them.

What must be reached (design 9): a round trip at most 1.6 times that of bare pyzmq with CURVE (a ratio of 0.62 or more), a cut
noticed within 5 s, and everything caught up within 5 s of the cable's return, 15 s at most.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from _rows import Row, compare, run, say
from _rpc_process import Alternated, Turns
from _rpc_subjects import HOST_VARIABLE, READY

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "link"), str(TESTS / "e2e")]

from household import eventually  # noqa: E402
from rig import Computer, Operator, TwoComputers, eventually_async, refusal, two_computers  # noqa: E402

SUBJECTS = OURS, UNSIGNED, BARE = "tandem-zmq", "tandem-zmq-unsigned", "pyzmq-curve"
ADDRESS_A, ADDRESS_B = "10.78.0.1", "10.78.0.2"  # tandem: ignore[hardcoded-address]
ROUND_S = 300.0
TELLERS = 20
INVITATION = re.compile(r"echo (?P<code>[A-Z2-7-]{27}) \| tandem machine join pc2 (?P<place>\S+)")


@contextlib.contextmanager
def veth() -> Iterator[tuple[str, str]]:
    """Two namespaces joined by a pair of virtual Ethernet devices."""
    a, b = (f"tandem-bench-{side}-{os.getpid()}" for side in "ab")
    with contextlib.ExitStack() as stack:
        for space in (a, b):
            subprocess.run(["ip", "netns", "add", space], check=True)
            stack.callback(subprocess.run, ["ip", "netns", "delete", space], check=False)
        subprocess.run(
            ["ip", "link", "add", "cable0", "netns", a, "type", "veth", "peer", "name", "cable0", "netns", b],
            check=True,
        )
        for space, address in ((a, ADDRESS_A), (b, ADDRESS_B)):
            for command in ("link set lo up", f"addr add {address}/24 dev cable0", "link set cable0 up"):
                subprocess.run(["ip", "-n", space, *command.split()], check=True)
        yield a, b


def one_round(turns: Turns, spaces: tuple[str, str]) -> Alternated:
    """The servers on the second computer, one caller of all of them on the first."""
    script = str(Path(__file__).with_name("_rpc_process.py"))
    caller_in, server_in = (["nsenter", f"--net=/run/netns/{space}", "--"] for space in spaces)
    environment = os.environ | {HOST_VARIABLE: ADDRESS_B}
    planned = msgspec.json.encode(turns).decode()
    with tempfile.TemporaryDirectory(prefix="link-") as where, contextlib.ExitStack() as stack:
        for subject in SUBJECTS:
            place = Path(where) / subject
            place.mkdir()
            server = subprocess.Popen(
                [*server_in, sys.executable, script, "serve", subject, str(place), planned],
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            stack.callback(_kill, server)
            assert server.stdout is not None
            if server.stdout.readline().strip() != READY:
                raise RuntimeError(f"the server of {subject} did not start")
        caller = subprocess.run(
            [*caller_in, sys.executable, script, "alternate", ",".join(SUBJECTS), where, planned],
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=ROUND_S,
            env=environment,
        )
    return msgspec.json.decode(caller.stdout.splitlines()[-1], type=Alternated)


def _kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def round_trips(rounds: int, turns: Turns) -> list[Row]:
    """Each round has processes of its own; turns of all rounds count alike."""
    found: list[Alternated] = []
    with veth() as spaces:
        for number in range(rounds):
            one = one_round(turns, spaces)
            found.append(one)
            told = "  ".join(f"{name} {statistics.median(one.medians_s[name]) * 1e6:.1f} us" for name in SUBJECTS)
            say(f"round {number + 1}/{rounds}: {told}")

    def beside(metric: str, peer: str, subject: str) -> Row:
        ours, theirs = ([m for one in found for m in one.medians_s[name]] for name in (OURS, subject))
        ratios = [b / a for a, b in zip(ours, theirs, strict=True)]
        low, middle, high = statistics.quantiles(ratios, n=4)
        say(f"{metric} beside {peer}: {middle:.3f}x, half of {len(ratios)} turns between {low:.3f}x and {high:.3f}x")
        here, there = statistics.median(ours), statistics.median(theirs)
        return Row(id=metric, ours=here, unit="s", peer=peer, peer_value=there, ratio=middle)

    def p99(subject: str) -> float:
        return statistics.median(one.p99_s[subject] for one in found)

    return [
        beside("link.p50_s", "pyzmq", BARE),
        compare("link.p99_s", "s", p99(OURS), "pyzmq", p99(BARE)),
        beside("link.signed.p50_s", "unsigned", UNSIGNED),
    ]


def joining(rig: TwoComputers) -> float:
    """Seconds the second computer takes to join, as its owner sees it."""
    waiting = rig.mainpc.begin("machine", "invite", "pc2")
    found = eventually(lambda: INVITATION.search(waiting.out) or waiting.process.poll(), "an invitation")
    if not isinstance(found, re.Match):
        raise RuntimeError(waiting.end().text)
    started = time.perf_counter()
    said = rig.pc2.tandem("machine", "join", "pc2", found["place"], stdin=found["code"].encode())
    seconds = time.perf_counter() - started
    if said.status or waiting.end().status:
        raise RuntimeError(said.text)
    return seconds


class Outage(Struct):
    """Seconds; see the head of this file."""

    noticed: float
    call_fails: float
    calls_again: float


async def outage(rig: TwoComputers, here: Operator, fault: str) -> Outage:
    """One fault of the cable, from its beginning until calls pass again."""
    await _reached(here)
    rig.wire.tell(fault)
    began = time.perf_counter()
    lost = await here.twin("into the void")
    if lost["error"] != "unreachable":
        raise RuntimeError(f"a call over the broken cable ended so: {lost}")
    noticed = [await asyncio.to_thread(_cut_since, computer) - began for computer in rig]
    rig.wire.tell("heal")
    healed = time.perf_counter()
    await _reached(here)
    again = time.perf_counter() - healed
    await asyncio.to_thread(rig.await_link, "up")
    return Outage(max(noticed), lost["seconds"], again)


def _cut_since(computer: Computer) -> float:
    """When ``computer`` began to count the other as cut off."""
    link = computer.await_link("cut")
    return time.perf_counter() - float(link["since_s"])


async def _reached(operator: Operator) -> None:
    async def passes() -> bool:
        return not (await operator.twin("hello"))["error"]

    await eventually_async(passes, "a call across")


async def outages(rig: TwoComputers, rounds: int) -> list[Row]:
    found: dict[str, list[Outage]] = defaultdict(list)
    async with rig.mainpc.operator() as here:
        for number, fault in itertools.product(range(rounds), ("cut", "blackhole b")):
            one = await outage(rig, here, fault)
            found[fault].append(one)
            say(
                f"round {number + 1}/{rounds} {fault:<12} noticed after {one.noticed:.1f} s, call failed after "
                f"{one.call_fails:.1f} s, calls passed {one.calls_again:.1f} s after its end"
            )
    everything = [*found["cut"], *found["blackhole b"]]
    slowest = {
        "link.cut_noticed_s": max(one.noticed for one in found["cut"]),
        "link.blackhole_noticed_s": max(one.noticed for one in found["blackhole b"]),
        "link.call_fails_s": max(one.call_fails for one in everything),
        "link.calls_again_s": max(one.calls_again for one in everything),
    }
    return [Row(id=metric, ours=seconds, unit="s") for metric, seconds in slowest.items()]


async def catching_up(rig: TwoComputers, messages: int) -> float:
    """Seconds from the cable's return until the other side has handled what was told while it was out."""
    async with rig.mainpc.operator() as here, rig.pc2.operator() as there:
        rig.wire.tell("cut")
        await asyncio.to_thread(rig.await_link, "cut")
        share = messages // TELLERS
        await asyncio.gather(
            *(
                there.call("Talker@pc2", "tell", text=f"bench-{n}", count=share, timeout=600)
                for n in range(TELLERS)
            )
        )
        say(f"{share * TELLERS} events are waiting")
        rig.wire.tell("heal")
        healed = time.perf_counter()
        await eventually_async(lambda: _has_heard(here, share * TELLERS), "everything to be handled", 300)
        return time.perf_counter() - healed


async def _has_heard(operator: Operator, count: int) -> bool:
    heard = await operator.call(f"Talker@{operator.machine}", "count_heard", prefix="bench")
    return bool(heard >= count)


def measure() -> list[Row]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    if why := refusal():
        raise SystemExit(f"two computers cannot be played here: {why}")
    rows = round_trips(options.rounds, Turns())
    with (
        tempfile.TemporaryDirectory(prefix="link-") as directory,
        two_computers(Path(directory), join=False) as rig,
    ):
        rows.append(Row(id="link.join_s", ours=joining(rig), unit="s"))
        say(f"pc2 joined within {rows[-1].ours:.1f} s")
        started = time.perf_counter()
        rig.up()
        rig.await_link("up")
        say(f"both computers up and linked after {time.perf_counter() - started:.1f} s")
        rows += asyncio.run(outages(rig, options.rounds))
        rows.append(Row(id="link.resync_s", ours=asyncio.run(catching_up(rig, options.messages)), unit="s"))
    return rows


if __name__ == "__main__":
    run("link", measure)
