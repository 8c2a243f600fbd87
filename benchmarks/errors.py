"""A burst of 100,000 error reports from 77 agents: what a call costs, what is lost, what the operator sees.

    python benchmarks/errors.py [--agents 77] [--reports 100000] [--json]

Every agent is a process with its own spool and connection; one nats-server stores (``sync_interval: always``, as in a
fleet), one incident desk counts. 40 of 77 agents cannot reach one that died, 20 meet a full disk, the others fail each in
its own way: that is the number of causes an operator should see. The peer is bare nats-py: one report per message, as
many publishes in flight as a stream's client may have.

What must be reached (design 9): call p99 under 100 us, none lost, one incident per cause.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import resource
import socket
import statistics
import subprocess
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection as Pipe
from multiprocessing.process import BaseProcess
from pathlib import Path

from msgspec import Struct

from _rows import Row, compare, run, say
from tandem.core.access import NatsAccess
from tandem.core.ids import AgentId, new_id
from tandem.errors import ErrorClient, ErrorReport
from tandem.errors.desk import IncidentDesk
from tandem.errors.feed import ErrorFeed
from tandem.events import Connection, Publisher, ensure_streams

MACHINE = "mainpc"
STORE = "Store"
BARE_MESSAGES = 20_000
IN_FLIGHT = 512
PATIENCE_S = 300.0


class Burst(Struct):
    """One agent's part: seconds of each call by the clock and of its processor time, calls not accepted, bytes of memory
    before and after.

    With more busy processes than cores the clock also counts others' turns on the processor; processor time does not.
    ``own_s``: by the clock, of the calls during which the kernel gave the processor to nobody else. ``waited``: calls that
    gave it up themselves, as a call does that waits for a lock or a disk (getrusage(2), RUSAGE_THREAD, ru_nvcsw).
    """

    wall_s: list[float]
    cpu_s: list[float]
    own_s: list[float]
    waited: int
    refused: int
    rss_before: int
    rss_after: int


@contextmanager
def nats_server(folder: Path) -> Iterator[NatsAccess]:
    """A server of its own with the durability of a fleet's."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = folder / "nats.conf"
    config.write_text(
        f'server_name: {MACHINE}\nlisten: "127.0.0.1:{port}"\n'
        f'jetstream {{ store_dir: "{folder}/js", domain: {MACHINE}, max_file: 4G, sync_interval: always }}\n'
    )
    binary = Path(sysconfig.get_path("scripts")) / "nats-server"
    server = subprocess.Popen([str(binary), "-c", str(config)], stderr=subprocess.DEVNULL)
    try:
        yield NatsAccess(f"nats://127.0.0.1:{port}", b"", "", "", "", MACHINE, MACHINE)
    finally:
        server.terminate()
        server.wait()


def complain(client: ErrorClient, number: int, agents: int, row: int) -> bool:
    """One report of agent ``number``; its words vary, its cause does not."""
    if number < agents * 40 // 77:
        return client.report("Unreachable", f"{STORE} closed the connection of call {row}").accepted
    if number < agents * 60 // 77:
        return client.report("OSError", f"[Errno 28] No space left on device: '/data/{row}.db'").accepted
    return client.report(
        "ValueError", f"task {'abcdefghijklmnopqrstuvwxyz'[number % 26] * 3}: row {row} is bad"
    ).accepted


def causes(agents: int) -> int:
    """How many different things are wrong."""
    return 2 + agents - agents * 60 // 77


def agent(number: int, agents: int, reports: int, access: NatsAccess, root: Path, pipe: Pipe) -> None:
    """One agent process: waits for the word, reports, ships, tells."""

    async def main() -> None:
        name = f"Agent{number}"
        connection = Connection(access, name)
        connection.start()
        await connection.client(30)
        publisher = Publisher(connection)
        client = ErrorClient(AgentId.of(name, MACHINE), root / name, lambda: publisher)
        client.start()
        # A process that has never reported makes its spool's files first; an agent does so once in its life.
        pipe.send("ready")
        await asyncio.to_thread(pipe.recv)
        before = _rss()
        wall, cpu, own, waited, refused = [], [], [], 0, 0
        for row in range(reports):
            before_call = resource.getrusage(resource.RUSAGE_THREAD)
            began, ran = time.perf_counter(), time.thread_time()
            accepted = complain(client, number, agents, row)
            cpu.append(time.thread_time() - ran)
            wall.append(time.perf_counter() - began)
            after_call = resource.getrusage(resource.RUSAGE_THREAD)
            waited += after_call.ru_nvcsw > before_call.ru_nvcsw
            if after_call.ru_nivcsw == before_call.ru_nivcsw:
                own.append(wall[-1])
            refused += not accepted
            if row % 20 == 19:
                await asyncio.sleep(0)
        while client._own is not None and client._own.waiting:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        pipe.send(Burst(wall, cpu, own, waited, refused, before, _rss()))
        await asyncio.to_thread(pipe.recv)
        await client.close()
        await connection.close()

    asyncio.run(main())


def _rss() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


async def burst(access: NatsAccess, folder: Path, agents: int, reports: int) -> list[Row]:
    """The storm, from the first call to the last counted report."""
    connection = Connection(access, "Hub")
    connection.start()
    await ensure_streams(await connection.client(30), MACHINE)
    needs = {f"{STORE}@{MACHINE}": []} | {
        f"Agent{n}@{MACHINE}": [f"{STORE}@{MACHINE}"] for n in range(agents)
    }
    desk = IncidentDesk(folder / "incidents.db", needs)
    await desk.open()
    feed = ErrorFeed(connection, Publisher(connection), AgentId.of("Hub", MACHINE))

    async def take(batch: list[ErrorReport]) -> None:
        await desk.take(batch)

    pipes, processes = begin_agents(access, folder, agents, reports)
    for pipe in pipes:
        await asyncio.to_thread(pipe.recv)
    say(f"{agents} agents ready")
    await feed.follow(take)
    death = ErrorReport(
        id=new_id(),
        agent=STORE,
        machine=MACHINE,
        type="ProcessDied",
        message="killed by SIGKILL",
        time=time.time(),
    )
    await desk.take([death])
    began = time.monotonic()
    for pipe in pipes:
        pipe.send("go")
    parts: list[Burst] = [await asyncio.to_thread(pipe.recv) for pipe in pipes]
    stored_s = time.monotonic() - began
    say(f"{reports} reports are stored after {stored_s:.1f} s")
    counted = 0
    while counted < reports and time.monotonic() - began < PATIENCE_S:
        await asyncio.sleep(0.2)
        counted = sum(incident.count for incident in await desk.incidents(all_states=True, limit=1000)) - 1
    counted_s = time.monotonic() - began
    incidents = await desk.incidents(limit=1000)
    say(
        f"{counted} reports are counted after {counted_s:.1f} s in {len(incidents)} incidents of {causes(agents)} causes"
    )
    for pipe in pipes:
        pipe.send("end")
    for process in processes:
        await asyncio.to_thread(process.join, 30)
    await feed.close()
    await desk.close()
    bare = await bare_rate(await connection.client(30))
    say(f"bare nats-py stores {bare:,.0f} messages/s")
    await connection.close()
    return [
        *costs(parts),
        Row(id="errors.lost", ours=float(reports - counted), unit="1"),
        compare("errors.incidents", "1", float(len(incidents)), "causes", float(causes(agents))),
        compare("errors.stored_rate_hz", "Hz", reports / stored_s, "nats", bare, "higher"),
        Row(id="errors.counted_s", ours=counted_s, unit="s"),
        Row(id="errors.hub_rss_bytes", ours=float(_rss()), unit="B"),
    ]


def begin_agents(access: NatsAccess, folder: Path, agents: int, reports: int) -> tuple[list[Pipe], list[BaseProcess]]:
    """Processes of agents that wait for the word, sharing the reports, and a pipe to each."""
    share = [reports // agents + (number < reports % agents) for number in range(agents)]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["errors"])
    pipes: list[Pipe] = []
    processes: list[BaseProcess] = []
    for number in range(agents):
        ours, theirs = context.Pipe()
        process = context.Process(
            target=agent, args=(number, agents, share[number], access, folder / "spools", theirs), daemon=True
        )
        process.start()
        pipes.append(ours)
        processes.append(process)
    return pipes, processes


def costs(parts: list[Burst]) -> list[Row]:
    """What the calls took of the agents."""
    wall = statistics.quantiles((second for part in parts for second in part.wall_s), n=100)
    own = statistics.quantiles((second for part in parts for second in part.own_s), n=100)
    cpu = statistics.quantiles((second for part in parts for second in part.cpu_s), n=100)
    return [
        Row(id="errors.call_p50_s", ours=wall[49], unit="s"),
        Row(id="errors.call_p99_s", ours=wall[98], unit="s"),
        Row(id="errors.call_cpu_p99_s", ours=cpu[98], unit="s"),
        Row(id="errors.call_undisturbed_p99_s", ours=own[98], unit="s"),
        Row(id="errors.calls_that_waited", ours=float(sum(part.waited for part in parts)), unit="1"),
        Row(id="errors.refused", ours=float(sum(part.refused for part in parts)), unit="1"),
        Row(
            id="errors.rss_growth_bytes", ours=float(max(p.rss_after - p.rss_before for p in parts)), unit="B"
        ),
    ]


async def bare_rate(client: object) -> float:
    """Acknowledged publishes per second of nats-py alone, one report per message into a stream like ours."""
    stream = client.jetstream()  # type: ignore[attr-defined]
    await stream.add_stream(name="BARE", subjects=["bare.>"])
    payload = os.urandom(120).hex().encode()
    places = asyncio.Semaphore(IN_FLIGHT)

    async def one(number: int) -> None:
        async with places:
            await stream.publish("bare.x", payload, headers={"Nats-Msg-Id": str(number)}, timeout=60)

    began = time.monotonic()
    await asyncio.gather(*(one(number) for number in range(BARE_MESSAGES)))
    return BARE_MESSAGES / (time.monotonic() - began)


def measure() -> list[Row]:
    """The whole benchmark."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--agents", type=int, default=77)
    parser.add_argument("--reports", type=int, default=100_000)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="errors-") as folder, nats_server(Path(folder)) as access:
        return asyncio.run(burst(access, Path(folder), options.agents, options.reports))


if __name__ == "__main__":
    run("errors", measure)
