"""Two computers: round trips over the cable beside a bare CURVE echo, the price of identity, and catching up after a cut.

    sudo python benchmarks/link.py [--rounds 3] [--messages 10000] [--json]

Needs root, `ip` and `nsenter`. Two network namespaces play two computers. Round trips are measured over a veth pair, so that
nothing but the kernel is between the two processes. Catching up is measured with two whole fleets on the cable of tests/link,
a userspace process that can be cut: events are told on one side while the cable is out, and the clock runs from its being
plugged in until the agent on the other side has handled the last of them.

What must be reached (design 9): a round trip at most 1.6 times that of bare pyzmq with CURVE (a ratio of 0.62 or more), and
everything caught up within 5 s of the cable's return, 15 s at most.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import msgspec

from _rows import Row, compare, run, say
from _rpc_subjects import HOST_VARIABLE, READY, Measured, Plan

TESTS = Path(__file__).parents[1] / "tests"
sys.path[:0] = [str(TESTS / "link"), str(TESTS / "e2e")]

from rig import Operator, TwoComputers, eventually_async, refusal, two_computers  # noqa: E402

OURS, UNSIGNED, BARE = "tandem-zmq", "tandem-zmq-unsigned", "pyzmq-curve"
ADDRESS_A, ADDRESS_B = "10.78.0.1", "10.78.0.2"  # tandem: ignore[hardcoded-address]
STARTUP_S = 120.0
TELLERS = 20


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


def one_round(subject: str, plan: Plan, spaces: tuple[str, str]) -> Measured:
    """The server on the second computer, the caller on the first."""
    script = str(Path(__file__).with_name("_rpc_subjects.py"))
    planned = msgspec.json.encode(plan).decode()
    caller_in, server_in = (["nsenter", f"--net=/run/netns/{space}", "--"] for space in spaces)
    environment = os.environ | {HOST_VARIABLE: ADDRESS_B}
    with tempfile.TemporaryDirectory(prefix="link-") as where:
        server = subprocess.Popen(
            [*server_in, sys.executable, script, "serve", subject, where, planned],
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        try:
            assert server.stdout is not None
            if server.stdout.readline().strip() != READY:
                raise RuntimeError(f"the server of {subject} did not start")
            caller = subprocess.run(
                [*caller_in, sys.executable, script, "measure", subject, where, planned],
                stdout=subprocess.PIPE,
                text=True,
                check=True,
                timeout=STARTUP_S + 60 * plan.load_s,
                env=environment,
            )
        finally:
            server.kill()
            server.wait()
    return msgspec.json.decode(caller.stdout.splitlines()[-1], type=Measured)


def round_trips(rounds: int, plan: Plan) -> list[Row]:
    """Subjects take turns within a round; a figure is the median of its rounds."""
    found: dict[str, list[Measured]] = defaultdict(list)
    with veth() as spaces:
        for number, subject in itertools.product(range(rounds), (OURS, UNSIGNED, BARE)):
            measured = one_round(subject, plan, spaces)
            found[subject].append(measured)
            say(
                f"round {number + 1}/{rounds} {subject:<20} p50 {measured.p50_s * 1e6:7.1f} us  "
                f"p99 {measured.p99_s * 1e6:8.1f} us  {measured.rate_hz:8,.0f} calls/s"
            )

    def median(subject: str, field: str) -> float:
        return statistics.median(getattr(one, field) for one in found[subject])

    rows = [
        compare(f"link.{field}", "s", median(OURS, field), "pyzmq", median(BARE, field))
        for field in ("p50_s", "p99_s")
    ]
    rows.append(
        compare("link.signed.p50_s", "s", median(OURS, "p50_s"), "unsigned", median(UNSIGNED, "p50_s"))
    )
    return rows


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
    rows = round_trips(options.rounds, Plan(calls=2000, load_s=1.0))
    with (
        tempfile.TemporaryDirectory(prefix="link-") as directory,
        two_computers(Path(directory)) as rig,
    ):
        started = time.perf_counter()
        rig.up()
        rig.await_link("up")
        say(f"both computers up and linked after {time.perf_counter() - started:.1f} s")
        seconds = asyncio.run(catching_up(rig, options.messages))
    return [*rows, Row(id="link.resync_s", ours=seconds, unit="s")]


if __name__ == "__main__":
    run("link", measure)
