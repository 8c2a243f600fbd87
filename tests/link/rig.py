"""Two computers on one: network namespaces with addresses of their own, and a cable that can fail between them.

Each computer has its own home and runs the real command line. It joined as a computer joins: its keys were made in its
own home, and only public ones went to the other's CA.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

from household import TANDEM, Household, Running, eventually
from wire import enter

from tandem.security import Authority, Guest, Host

HERE = Path(__file__).parent
ADDRESSES = {"mainpc": "10.77.0.1", "pc2": "10.77.0.2"}
PREFIX = 24
PATIENCE_S = 90.0
START_S = 60.0

FLEET = """
fleet: two
machines:
  mainpc: {host: "${MAINPC_IP}"}
  pc2: {host: "${PC2_IP}"}
groups:
  here:
    machine: mainpc
    agents:
      Talker: {class: link_agents.talker:Talker, port: 5709, wants: [Talker@pc2]}
  there:
    machine: pc2
    agents:
      Talker: {class: link_agents.talker:Talker, port: 7101}
"""

MARKS = 600_000
"""Marks for the processes of computers; households that share one network have theirs above these."""
AT_ONCE = 64
"""Marks a test process goes round with, so that none of two that run beside each other takes the other's for its own."""

_numbers, _marks = itertools.count(), itertools.count()


def refusal() -> str:
    """Why this kernel cannot play two computers; empty when it can."""
    if sys.platform != "linux":
        return "network namespaces are Linux's"
    for tool in ("ip", "nsenter"):
        if shutil.which(tool) is None:
            return f"`{tool}` is not installed (apt install iproute2 util-linux)"
    if not os.access("/dev/net/tun", os.R_OK | os.W_OK):
        return "/dev/net/tun cannot be opened: it takes root and the tun module"
    name = f"tandem-probe-{os.getpid()}"
    made = subprocess.run(["ip", "netns", "add", name], capture_output=True, text=True, check=False)
    if made.returncode != 0:
        return f"no network namespaces: {made.stderr.strip()}"
    subprocess.run(["ip", "netns", "delete", name], check=False)
    return ""


class Wire:
    """The cable between the two computers; see :mod:`wire` for its commands."""

    def __init__(self, process: subprocess.Popen[str]):
        self._process = process

    def tell(self, command: str) -> None:
        """Give a command and wait until it is done."""
        assert self._process.stdin is not None
        self._process.stdin.write(command + "\n")
        self._process.stdin.flush()
        self._await_ok()

    def _await_ok(self) -> None:
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == "ok\n", "the wire process ended"

    @classmethod
    @contextlib.contextmanager
    def between(cls, a: str, b: str) -> Iterator[Wire]:
        ends = [a, b, *(f"{address}/{PREFIX}" for address in ADDRESSES.values())]
        with subprocess.Popen(
            [sys.executable, str(HERE / "wire.py"), *ends],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            wire = cls(process)
            try:
                wire._await_ok()
                yield wire
            finally:
                process.kill()


class Operator:
    """Somebody at one of the computers, who calls its agents."""

    def __init__(self, machine: str, process: asyncio.subprocess.Process):
        self.machine = machine
        self._process = process
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ids = itertools.count(1)
        self._ready: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._waiting[0] = self._ready
        self._listener = asyncio.create_task(self._listen())

    async def ready(self) -> None:
        async with asyncio.timeout(START_S):
            await self._ready

    async def ask(self, peer: str, action: str, /, timeout: float = 30.0, **args: Any) -> dict[str, Any]:
        """``{"result"}`` or ``{"error": {"code", "message"}}``, and the ``seconds`` it took."""
        assert self._process.stdin is not None
        number = next(self._ids)
        self._waiting[number] = asyncio.get_running_loop().create_future()
        question = {"id": number, "peer": peer, "action": action, "args": args, "timeout": timeout}
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        try:
            async with asyncio.timeout(timeout + START_S):
                return await self._waiting[number]
        finally:
            del self._waiting[number]

    async def call(self, peer: str, action: str, /, timeout: float = 30.0, **args: Any) -> Any:
        """The result; an error fails the test."""
        answer = await self.ask(peer, action, timeout, **args)
        assert "error" not in answer, f"{peer}.{action}: {answer['error']}"
        return answer["result"]

    async def twin(self, text: str, method: str = "echo") -> dict[str, Any]:
        """How a call of this computer's Talker to its twin ended; ``error`` is empty when well."""
        own, other = ("mainpc", "pc2") if self.machine == "mainpc" else ("pc2", "mainpc")
        answer = await self.call(f"Talker@{own}", "call_twin", twin=f"Talker@{other}", text=text, method=method)
        assert isinstance(answer, dict)
        return answer

    async def tell(self, text: str, count: int = 1) -> None:
        """Have this computer's Talker announce ``count`` events."""
        await self.call(f"Talker@{self.machine}", "tell", text=text, count=count)

    async def heard(self, prefix: str = "") -> list[str]:
        """What this computer's Talker has heard, in order, as often as it was delivered."""
        found = await self.call(f"Talker@{self.machine}", "heard", prefix=prefix)
        assert isinstance(found, list)
        return found

    async def close(self) -> None:
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        self._listener.cancel()

    async def _listen(self) -> None:
        assert self._process.stdout is not None
        while line := await self._process.stdout.readline():
            answer = json.loads(line)
            waiting = self._waiting.get(answer["id"])
            if waiting is not None and not waiting.done():
                waiting.set_result(answer)
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(AssertionError("the operator's process ended"))


class Computer(Household):
    """One of the two: a household in a network namespace of its own."""

    def __init__(self, machine: str, namespace: str, directory: Path, fleet: Path):
        variables = {"MAINPC_IP": ADDRESSES["mainpc"], "PC2_IP": ADDRESSES["pc2"]}
        super().__init__(directory, fleet, 0, variables)
        # Households are told apart by their ports, which here are all the same.
        self._mark = 1 + (os.getpid() * AT_ONCE + next(_marks) % AT_ONCE) % MARKS
        self.machine = machine
        self.namespace = namespace
        self.address = ADDRESSES[machine]

    @property
    def inside(self) -> list[str]:
        """What to put before a command that should run on this computer."""
        # Not `ip netns exec`: it mounts another /sys, which hides the control groups.
        return ["nsenter", f"--net=/run/netns/{self.namespace}", "--"]

    def begin(self, *words: str, stdin: bytes | None = None, **environment: str) -> Running:
        argv = [*self.inside, str(TANDEM), *words]
        return Running(self, argv, self.environment | environment, stdin)

    def ports(self) -> list[int]:
        """None to look after: they are in a namespace that ends with the test."""
        return []

    @contextlib.asynccontextmanager
    async def operator(self) -> AsyncIterator[Operator]:
        """Somebody who sits there."""
        process = await asyncio.create_subprocess_exec(
            *self.inside, sys.executable, str(HERE / "driver.py"),
            env=self.environment, cwd=self.directory, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, preexec_fn=self.bear_mark, limit=2**24,
        )  # fmt: skip
        operator = Operator(self.machine, process)
        try:
            await operator.ready()
            yield operator
        finally:
            await operator.close()

    def link(self) -> dict[str, Any]:
        """How this computer sees the other, as `tandem status` tells."""
        [link] = self.status()["links"]
        assert isinstance(link, dict)
        return link

    def await_link(self, state: str) -> dict[str, Any]:
        """Wait until it sees it so."""
        return eventually(lambda: (link := self.link())["state"] == state and link, f"{self.machine}: {state}")

    @contextlib.contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and sockets it makes, on that computer."""
        home = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        enter(self.namespace)
        try:
            yield
        finally:
            enter(home)
            os.close(home)


class TwoComputers:
    """The rig: ``mainpc``, ``pc2`` and the ``wire`` between them."""

    def __init__(self, mainpc: Computer, pc2: Computer, wire: Wire):
        self.mainpc = mainpc
        self.pc2 = pc2
        self.wire = wire

    def __iter__(self) -> Iterator[Computer]:
        return iter((self.mainpc, self.pc2))

    def up(self) -> None:
        """Start both at once, as two people would."""
        starting = [computer.begin("up") for computer in self]
        for computer, command in zip(self, starting, strict=True):
            said = command.end()
            assert said.status == 0, f"{computer.machine}: {said.text}"

    def await_link(self, state: str) -> None:
        """Wait until each sees the other so."""
        for computer in self:
            computer.await_link(state)

    @contextlib.asynccontextmanager
    async def operators(self) -> AsyncIterator[tuple[Operator, Operator]]:
        """Somebody at each computer."""
        async with self.mainpc.operator() as here, self.pc2.operator() as there:
            yield here, there

    def join(self) -> None:
        """Make pc2 a member of the fleet that mainpc founded, without a network in between."""
        home, guest_home = self.mainpc.home, self.pc2.home
        host = Host(home, Authority.open(home))
        code = host.invite("pc2", [self.pc2.address])
        guest = Guest(guest_home, "pc2", code)
        _machine, answer = host.admit(guest.question(), self.pc2.address)
        guest.settle(answer)


@contextlib.contextmanager
def two_computers(directory: Path, fleet: str = FLEET, *, join: bool = True) -> Iterator[TwoComputers]:
    """Both computers, joined (unless told otherwise) and not started; nothing is left of them afterwards."""
    number = f"{os.getpid()}-{next(_numbers)}"
    spaces = {machine: f"tandem-{machine}-{number}" for machine in ADDRESSES}
    with contextlib.ExitStack() as stack:
        for space in spaces.values():
            subprocess.run(["ip", "netns", "add", space], check=True)
            stack.callback(subprocess.run, ["ip", "netns", "delete", space], check=False)
            subprocess.run(["ip", "-n", space, "link", "set", "lo", "up"], check=True)
        wire = stack.enter_context(Wire.between(*spaces.values()))
        computers = [_computer(machine, space, directory, fleet) for machine, space in spaces.items()]
        rig = TwoComputers(*computers, wire)
        if join:
            rig.join()
        try:
            yield rig
        finally:
            left = [process for computer in rig for process in computer.clean_up()]
        assert left == [], f"tandem down left processes: {left}"
        for computer in rig:
            computer.assert_nothing_left()


def _computer(machine: str, space: str, directory: Path, fleet: str) -> Computer:
    place = directory / machine
    place.mkdir()
    (place / "link_agents").symlink_to(HERE / "link_agents")
    file = place / "fleet.yaml"
    file.write_text(fleet)
    return Computer(machine, space, place, file)


async def eventually_async(
    condition: Callable[[], Any], what: str, patience_s: float = PATIENCE_S, every_s: float = 0.1
) -> Any:
    """Await ``condition`` again and again until it is true, and return what it gave."""
    loop = asyncio.get_running_loop()
    until = loop.time() + patience_s
    while not (value := await condition()):
        assert loop.time() < until, f"waited {patience_s:g} s for {what}"
        await asyncio.sleep(every_s)
    return value
