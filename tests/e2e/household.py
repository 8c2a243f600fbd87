"""A whole fleet driven through the command line, as a person does, with the proof that nothing of it stays behind."""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil

from tandem.api import Connection, connect
from tandem.core.paths import Home
from tandem.fleet import load
from tandem.fleet.ports import listeners
from tandem_agents.engines.models import Store

T = TypeVar("T")
TANDEM = Path(sys.executable).with_name("tandem")
REAL_FLEET = Path(__file__).parents[2] / "fleet.yaml"
FLEET_AGENTS = Path(__file__).parent / "fleet_agents"
PATIENCE_S = 120.0
PASSED_ON = ("COVERAGE_PROCESS_START", "PYTHONPATH")
"""Of the tests' own environment; everything else of it would make a difference nobody sees."""
SIDE_BY_SIDE = 16
"""Households of one offset that can be told apart."""
FIRST_EPHEMERAL_PORT = 32_768
"""From here on the kernel hands out ports to outgoing connections (ip(7)), so a listener would be a matter of luck."""

_numbers = itertools.count()


@dataclass(frozen=True)
class Said:
    """What a command said and how it ended."""

    status: int
    out: str
    err: str

    @property
    def text(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> Any:
        assert self.out, f"no JSON, but: {self.err}"
        return json.loads(self.out)


def eventually(condition: Callable[[], T], what: str = "", patience_s: float = PATIENCE_S) -> T:
    """Wait until ``condition`` is true, and return what it gave."""
    until = time.monotonic() + patience_s
    while not (value := condition()):
        assert time.monotonic() < until, f"waited {patience_s:g} s for {what or condition}"
        time.sleep(0.02)
    return value


class Household:
    """One home, one fleet file, one set of ports.

    Every process that comes from a command of this household bears its mark: a soft limit on POSIX message queues,
    which nothing here uses and every descendant inherits, whatever it does to its session, title or environment.
    """

    def __init__(self, directory: Path, fleet: Path, offset: int, environment: Mapping[str, str] = {}):
        self.directory = directory
        self.fleet = fleet
        self.offset = offset
        self.home = Home(Path(environment.get("TANDEM_HOME", directory / "home")))
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(directory),
            "LANG": "C.UTF-8",
            "TZ": "UTC",
            "TANDEM_HOME": str(self.home.root),
            "TANDEM_FLEET": str(fleet),
            "TANDEM_MODELS": str(Store.from_environment().root),
            "PORT_OFFSET": str(offset),
            **{name: os.environ[name] for name in PASSED_ON if name in os.environ},
            **environment,
        }  # fmt: skip
        most = resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1]
        base = 819_200 if most == resource.RLIM_INFINITY else most
        self._mark = base - 1 - offset * SIDE_BY_SIDE - next(_numbers) % SIDE_BY_SIDE

    @property
    def run_root(self) -> Path:
        """Where its sockets are, also for a home given by the environment alone."""
        return Path(self.environment.get("TANDEM_RUN_DIR") or _default_run_root(self.home))

    def begin(self, *words: str, stdin: bytes | None = None, **environment: str) -> Running:
        """Start a command and do not wait for it."""
        return Running(self, [str(TANDEM), *words], self.environment | environment, stdin)

    def tandem(self, *words: str, stdin: bytes | None = None, **environment: str) -> Said:
        """Run a command to its end. No command may show a traceback, except one that shows what agents wrote."""
        said = self.begin(*words, stdin=stdin, **environment).end()
        assert words[0] == "logs" or "Traceback (most recent call last)" not in said.text, said.text
        return said

    def up(self, *words: str, **environment: str) -> Said:
        """``tandem up``, which must succeed."""
        said = self.tandem("up", *words, **environment)
        assert said.status == 0, said.text
        return said

    def ask(self, text: str, *words: str) -> str:
        """The answer to a question, which must be answered."""
        said = self.tandem("ask", *words, text)
        assert said.status == 0, said.text
        return said.out.strip()

    def status(self) -> Any:
        """``tandem status --json``, whatever its verdict."""
        return self.tandem("status", "--json").json

    def agent(self, name: str) -> dict[str, Any]:
        """One agent's row of ``status``."""
        return _row(self.status()["agents"], name)

    def service(self, name: str, machine: str) -> dict[str, Any]:
        """One server's row of ``status``."""
        return _row([s for s in self.status()["services"] if s["machine"] == machine], name)

    def logs(self, *words: str) -> list[str]:
        said = self.tandem("logs", "--lines", "0", *words)
        assert said.status == 0, said.text
        return said.out.splitlines()

    def down(self) -> Said:
        """``tandem down``, which must succeed and leave nothing behind."""
        said = self.tandem("down")
        assert said.status == 0, said.text
        self.assert_nothing_left()
        return said

    def assert_nothing_left(self) -> None:
        """No process of this household runs, no socket file exists, every port of the fleet can be had."""
        eventually(lambda: not self.processes(), f"the end of {self.describe_processes()}")
        assert self.sockets() == []
        assert [port for port in self.ports() if not can_listen(port)] == []

    def processes(self) -> list[int]:
        """Every living process that descends from a command of this household."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and self._is_ours(entry)
        ]

    def describe_processes(self) -> list[str]:
        found = []
        for pid in self.processes():
            with contextlib.suppress(psutil.Error):
                found.append(f"{pid} {' '.join(psutil.Process(pid).cmdline())[:80]}")
        return found

    def sockets(self) -> list[Path]:
        return [path for path in self.run_root.rglob("*") if path.is_socket()]

    def ports(self) -> list[int]:
        """Every port of the fleet file."""
        return [port + self.offset for port in ports_of(self.fleet)]

    def kill_everything(self) -> None:
        """What a power cut does: nothing gets to say goodbye."""
        while left := self.processes():
            for pid in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)

    def clean_up(self) -> list[str]:
        """End what is left, whatever state it is in; tells what ``down`` did not end."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.tandem("down")
        left = self.describe_processes()
        self.kill_everything()
        shutil.rmtree(self.run_root, ignore_errors=True)
        return left

    @contextlib.asynccontextmanager
    async def connected(self) -> AsyncIterator[Connection]:
        """The operator's own connection to this fleet, from within the test."""
        before = dict(os.environ)
        os.environ.update(self.environment)
        try:
            async with connect(str(self.fleet)) as connection:
                yield connection
        finally:
            os.environ.clear()
            os.environ.update(before)

    def bear_mark(self) -> None:
        """In a child between fork and exec: mark it and all that will come of it."""
        hard = resource.getrlimit(resource.RLIMIT_MSGQUEUE)[1]
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (self._mark, hard))

    def _is_ours(self, entry: Path) -> bool:
        try:
            limits = (entry / "limits").read_text()
            state = (entry / "stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            return False
        # The kernel tells no limits of a process that ends at this moment.
        line = next((line for line in limits.splitlines() if line.startswith("Max msgqueue size")), "")
        return bool(line) and int(line.split()[3]) == self._mark and state not in ("Z", "X")


class Running:
    """A command that is running."""

    def __init__(
        self, household: Household, argv: list[str], environment: Mapping[str, str], stdin: bytes | None
    ):
        self._out: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - they live as long as this object
        self._err: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self.process = subprocess.Popen(
            argv,
            env=environment,
            cwd=household.directory,
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=self._out,
            stderr=self._err,
            preexec_fn=household.bear_mark,
            start_new_session=True,
        )
        if stdin is not None:
            assert self.process.stdin is not None
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.write(stdin)
                self.process.stdin.close()

    @property
    def out(self) -> str:
        """What it has said so far."""
        return _content(self._out)

    @property
    def err(self) -> str:
        """What it has said on standard error so far."""
        return _content(self._err)

    def interrupt(self) -> None:
        """What Ctrl-C does: SIGINT to the command's whole process group, as a terminal sends it."""
        os.killpg(self.process.pid, signal.SIGINT)

    def end(self, patience_s: float = 240.0) -> Said:
        """Wait for it."""
        try:
            status = self.process.wait(patience_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise
        return Said(status, _content(self._out), _content(self._err))


def contents(*roots: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below these folders and what is in it; what vanishes meanwhile, as files of a running fleet do, is left out."""
    for root in roots:
        for folder, _, names in os.walk(root):
            for path in (Path(folder) / name for name in names):
                with contextlib.suppress(FileNotFoundError):
                    if path.is_file():
                        yield path, path.read_bytes()


def _content(file: IO[bytes]) -> str:
    size = os.fstat(file.fileno()).st_size
    return os.pread(file.fileno(), size, 0).decode("utf-8", "replace")


def _row(rows: Iterable[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(row for row in rows if row["name"] == name)


def _default_run_root(home: Home) -> Path:
    """As :meth:`Home.run_root`, without what this process happens to have in its environment."""
    import hashlib

    mark = hashlib.sha256(os.fsencode(home.root)).hexdigest()[:8]
    return Path(tempfile.gettempdir()) / f"tandem-{os.getuid()}-{mark}"


def ports_of(fleet: Path) -> list[int]:
    """The ports in a fleet file, before any offset; none when it cannot be read."""
    draft = load(fleet).draft
    return sorted({listener.port - draft.port_offset for listener in listeners(draft)}) if draft else []


def can_listen(port: int) -> bool:
    """Whether nobody listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _offsets(ports: list[int]) -> Iterator[int]:
    """Offsets that keep two copies of the ports apart and all of them below the ephemeral ones."""
    taken: set[int] = set()
    for offset in range(10, FIRST_EPHEMERAL_PORT - max(ports), 10):
        moved = {port + offset for port in ports}
        if not moved & taken:
            taken |= moved
            yield offset


@contextlib.contextmanager
def port_offset() -> Iterator[int]:
    """An offset nobody else on this computer has while it is held. The fleets of these tests use the real fleet's ports."""
    ports = ports_of(REAL_FLEET)
    locks = Path(tempfile.gettempdir()) / f"tandem-e2e-{os.getuid()}"
    locks.mkdir(mode=0o700, exist_ok=True)
    for offset in _offsets(ports):
        with (locks / str(offset)).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if all(can_listen(port + offset) for port in ports):
                yield offset
                return
    raise AssertionError("no free ports for another fleet")


MakeHousehold = Callable[..., Household]
"""What the fixtures hand out: ``make_household(fleet text or path, **environment)``."""
