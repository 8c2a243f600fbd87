"""A real keeper for tests: started as the command line does, its node replaced by a process that only waits."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from tandem.core.ids import new_id
from tandem.supervise.keeper_client import tell
from tandem.supervise.keeper_link import KeeperLink
from tandem.supervise.wire import (
    AnyReply,
    Doors,
    Exec,
    Fork,
    KeeperConfig,
    Listing,
    LogLimits,
    Preload,
    Shutdown,
    SpawnUnit,
    UnitInfo,
    UnitSpawned,
    encode_frame,
)

T = TypeVar("T")
PATIENCE_S = 120.0
ENV = {"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parent)}


async def until(condition: Callable[[], T], what: str = "") -> T:
    """Wait until ``condition`` is true, and return what it gave."""
    deadline = time.monotonic() + PATIENCE_S
    while not (value := condition()):
        assert time.monotonic() < deadline, f"waited {PATIENCE_S} s for {what or condition}"
        await asyncio.sleep(0.005)
    return value


def alive(pid: int) -> bool:
    """Whether the process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except (FileNotFoundError, ProcessLookupError):
        return False


class KeeperRig:
    """One keeper below ``root``, and a connection that hears its events."""

    def __init__(self, root: Path, limits: LogLimits | None = None, preload: Preload | None = None):
        self.root = root
        self.run, self.logs, self.state = root / "run", root / "logs", root / "state"
        for directory in (self.run / "a", self.logs, self.state):
            directory.mkdir(parents=True, exist_ok=True)
        self.config = KeeperConfig(
            machine="m1",
            run_dir=str(self.run),
            log_dir=str(self.logs),
            state_dir=str(self.state),
            zygote=Exec(
                argv=[sys.executable, "-m", "tandem.supervise.zygote"],
                env=ENV,
                payload=msgspec.msgpack.encode(preload or Preload(["msgspec", "children"])),
            ),
            node=Exec(argv=[sys.executable, "-c", "import signal; signal.pause()"], env=ENV, payload=b"x"),
            node_entry="children:wait",
            node_socket=str(self.run / "node.sock"),
            logs=limits or LogLimits(),
        )
        self.events: list[AnyReply] = []
        self.process: subprocess.Popen[bytes] | None = None
        self.link: KeeperLink | None = None
        self.first: Listing | None = None

    @property
    def path(self) -> Path:
        return self.run / "keeper.sock"

    @property
    def zygote(self) -> str:
        assert self.first is not None
        return next(u.instance for u in self.first.units if u.kind == "zygote")

    async def start(self, **popen: Any) -> KeeperRig:
        """Start the process and attach to it."""
        self.process = subprocess.Popen(  # noqa: ASYNC220 - it takes a millisecond
            [sys.executable, "-m", "tandem.supervise.keeper"],
            stdin=subprocess.PIPE,
            start_new_session=True,
            **popen,
        )
        assert self.process.stdin is not None
        self.process.stdin.write(encode_frame(self.config))
        self.process.stdin.close()
        await self.attach()
        return self

    async def attach(self) -> Listing:
        """A new connection, as a new node would make."""
        await until(self.path.exists, "the keeper's socket")
        self.link = await KeeperLink.connect(self.path)
        self.link.listen(self.events.append)
        self.first = await self.link.attach()
        return self.first

    def spawn(
        self, name: str, launch: Exec | Fork, *, kind: str = "agent", doors: Doors | None = None
    ) -> str:
        """Ask for a process; its instance."""
        assert self.link is not None
        instance = new_id()
        self.link.send(SpawnUnit(name=name, instance=instance, kind=kind, launch=launch, doors=doors))
        return instance

    def run_python(self, name: str, code: str, **options: Any) -> str:
        """Execute a Python program as ``name``."""
        return self.spawn(name, Exec(argv=[sys.executable, "-c", code], env=ENV), **options)

    def fork(self, name: str, entry: str, payload: bytes = b"", **options: Any) -> str:
        """Fork ``entry`` off the zygote."""
        return self.spawn(
            name, Fork(zygote=self.zygote, entry=entry, payload=payload, title=f"t:{name}"), **options
        )

    async def heard(self, kind: type[T], instance: str, after: int = 0) -> T:
        """The event of that type about that instance, when it comes."""

        def find() -> T | None:
            return next(
                (e for e in self.events[after:] if isinstance(e, kind) and e.instance == instance), None
            )

        found = await until(find, f"{kind.__name__} of {instance}")
        assert found is not None
        return found

    async def pid(self, instance: str) -> int:
        return (await self.heard(UnitSpawned, instance)).pid

    async def info(self, instance: str) -> UnitInfo:
        assert self.link is not None
        return next(u for u in (await self.link.list()).units if u.instance == instance)

    def log(self, name: str) -> list[dict[str, Any]]:
        """The whole lines in the log of ``name``; the last one may just be written."""
        path = self.logs / f"{name}.log"
        whole = path.read_bytes().rpartition(b"\n")[0] if path.exists() else b""
        return [msgspec.json.decode(line) for line in whole.splitlines() if line]

    async def stop(self) -> None:
        """End everything; the test fails if the keeper does not."""
        if self.link is not None:
            self.link.close()
        if self.process is None or self.process.poll() is not None:
            return
        await asyncio.to_thread(tell, self.path, Shutdown(grace_s=1.0), PATIENCE_S)
        self.process.wait(PATIENCE_S)

    def kill(self) -> None:
        """The worst that can happen to a keeper."""
        assert self.process is not None
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
