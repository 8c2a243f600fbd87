"""The keeper: one small process per machine that holds what must not die.

It is the parent of everything on its machine, directly or as subreaper, holds the listening sockets and the read
ends of all pipes, writes the logs and reaps. It decides nothing: the node does, and may die and be replaced at any
time. Started by ``tandem up``, which writes its configuration (:class:`~tandem.supervise.wire.KeeperConfig`) to its
standard input as soon as it has read the fleet file; until then the keeper imports.

Only small modules are imported here; a test watches its memory.
"""

from __future__ import annotations

import fcntl
import os
import signal
import stat
import sys
import time
from collections.abc import Iterator

import msgspec

from tandem.core.process import forbid_dumps
from tandem.supervise import cgroups, proc
from tandem.supervise.keeper_adopt import Adoption
from tandem.supervise.keeper_clients import Clients
from tandem.supervise.keeper_exec import allow_all_open_files
from tandem.supervise.keeper_journal import Journal
from tandem.supervise.keeper_logs import LogBook, compress
from tandem.supervise.keeper_loop import TICK_S, Loop
from tandem.supervise.keeper_node import NodeKeeper
from tandem.supervise.keeper_shutdown import ShutdownSequence
from tandem.supervise.keeper_units import Units
from tandem.supervise.wire import (
    AnyReply,
    AnyRequest,
    AskBeats,
    Attach,
    Beats,
    CloseDoors,
    EndJobs,
    Frames,
    KeeperConfig,
    List,
    Listing,
    Note,
    Rejoin,
    Remember,
    ReplaceNode,
    Shutdown,
    SignalUnit,
    SpawnUnit,
)

EXIT_ALREADY_RUNNING = 75
"""Another keeper has this machine's lock (EX_TEMPFAIL)."""

HOMELESS_TICKS = 10
"""Seconds without our state directory after which everything is ended."""


class Keeper:
    """Wires the parts together and answers requests."""

    def __init__(self, loop: Loop, config: KeeperConfig):
        self.config = config
        self._loop = loop
        self._logs = LogBook(config.log_dir, config.machine, config.logs)
        self._journal = Journal(os.path.join(config.state_dir, "keeper.journal"))
        self._clients = Clients(loop, os.path.join(config.run_dir, "keeper.sock"), self._handle)
        self._cgroups = cgroups.find(config.machine, dict(os.environ))
        self.units = Units(loop, self._logs, self._journal, self._emit, self._cgroups)
        self._adoption = Adoption(loop, self.units)
        self._node = NodeKeeper(loop, self.units, config, self._log)
        self._ending: ShutdownSequence | None = None
        self._compressor = 0
        self._homeless_ticks = 0
        loop.on_signal(signal.SIGCHLD, self._on_child)
        loop.on_signal(signal.SIGTERM, lambda: self._shut_down(10.0))

    def start(self) -> None:
        """Adopt what an earlier keeper left, then make the zygote and the node."""
        with open(os.path.join(self.config.state_dir, "run-dir"), "w") as file:
            file.write(self.config.run_dir)
        past = self._journal.load()
        self._journal.start(past)
        self._claim_cgroups()
        self._adoption.adopt(past)
        self._log("INFO", f"keeper {os.getpid()} holds {self.config.machine}")
        self._node.start()
        self._loop.after(TICK_S, self._tick)

    def _claim_cgroups(self) -> None:
        try:
            self._cgroups.prepare()
        except OSError as error:
            self._log("WARNING", f"no control groups: {error}")
            self._cgroups.give_up()
        if self._cgroups.holds:
            self._log("INFO", f"control groups limit {', '.join(sorted(self._cgroups.holds))}")

    def run(self) -> None:
        """Serve until a shutdown is complete."""
        while self._ending is None or not self._ending.done:
            self._loop.run_once()
        self._clients.close()
        _remove_sockets(self.config.run_dir, os.path.join(self.config.run_dir, "a"))
        self._logs.close()
        self._journal.discard()
        self._cgroups.close()

    def _handle(self, request: AnyRequest, client: int) -> None:
        match request:
            case SpawnUnit():
                self.units.spawn(request)
            case SignalUnit(instance=instance, signal=number, alone=alone):
                self.units.signal(instance, number, alone=alone)
            case EndJobs(name=name, grace_s=grace):
                self.units.end_jobs(name, grace)
            case Rejoin(instance=instance):
                self._clients.hand_over(client, self._adoption.reopen(instance, self._clients.pid(client)))
            case ReplaceNode(node=node, zygote=zygote) if self._ending is None:
                self._node.replace(node, zygote)
            case CloseDoors(name=name):
                self.units.close_doors(name)
            case Remember(name=name, data=data):
                self.units.keep_in_mind(name, data)
            case AskBeats(seq=seq):
                self._clients.send(client, Beats(seq=seq, at=self.units.beats()))
            case Attach(seq=seq):
                self._clients.attach(client)
                self._clients.send(client, self._listing(seq))
            case List(seq=seq):
                self._clients.send(client, self._listing(seq))
            case Note(name=name, level=level, message=message):
                self._logs.stream(name).note(level, message, time.time())
            case Shutdown(grace_s=grace):
                self._shut_down(grace)

    def _listing(self, seq: int) -> Listing:
        return Listing(
            seq=seq,
            pid=os.getpid(),
            machine=self.config.machine,
            units=self.units.listing(),
            memory=self.units.memory,
            holds=sorted(self._cgroups.holds),
        )

    def _emit(self, message: AnyReply) -> None:
        self._node.hear(message)
        self._clients.broadcast(message)

    def _shut_down(self, grace_s: float) -> None:
        if self._ending is None:
            self._node.retire()
            self._ending = ShutdownSequence(self._loop, self.units, grace_s)

    def _on_child(self) -> None:
        self.units.reap()
        if self._ending is not None:
            self._ending.advance()

    def _tick(self) -> None:
        self._loop.after(TICK_S, self._tick)
        self._logs.tick(time.time())
        self.units.check_dying()
        self._node.look()
        self._look_for_home()
        if not proc.is_running(self._compressor, proc.start_ticks(self._compressor)):
            path = self._logs.to_compress()
            self._compressor = _compress_aside(path) if path else 0

    def _look_for_home(self) -> None:
        """Somebody deleted our directory: nothing can be kept any more, so nothing may pretend to be."""
        gone = not os.path.isdir(self.config.state_dir)
        self._homeless_ticks = self._homeless_ticks + 1 if gone else 0
        if self._homeless_ticks >= HOMELESS_TICKS:
            self._shut_down(10.0)

    def _log(self, level: str, message: str) -> None:
        self._logs.stream("keeper").note(level, message, time.time())


def _remove_sockets(*folders: str) -> None:
    """What servers that were killed have left: nobody listens there any more."""
    for folder in folders:
        try:
            entries = list(os.scandir(folder))
        except FileNotFoundError:
            continue
        for entry in entries:
            if stat.S_ISSOCK(entry.stat(follow_symlinks=False).st_mode):
                os.unlink(entry.path)


def _compress_aside(path: str) -> int:
    pid = os.fork()
    if pid == 0:
        try:
            os.closerange(3, 1 << 20)
            compress(path)
        finally:
            os._exit(0)
    return pid


def _frames(fd: int) -> Iterator[bytes]:
    frames = Frames()
    while data := os.read(fd, 65536):
        yield from frames.feed(data)


def _lock(run_dir: str) -> int:
    fd = os.open(os.path.join(run_dir, "keeper.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        sys.exit(EXIT_ALREADY_RUNNING)
    os.ftruncate(fd, 0)
    os.write(fd, str(os.getpid()).encode())
    return fd


def _detach(log_dir: str) -> None:
    """Standard streams away from the terminal; what the interpreter itself says on a crash goes to a file."""
    os.makedirs(log_dir, mode=0o700, exist_ok=True)
    null = os.open("/dev/null", os.O_RDONLY)
    crash = os.open(os.path.join(log_dir, "keeper.stderr"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for source, target in ((null, 0), (crash, 1), (crash, 2)):
        os.dup2(source, target)
    os.close(null)
    os.close(crash)


def main() -> None:
    """Read the configuration from standard input, then keep."""
    proc.become_subreaper()
    allow_all_open_files()
    forbid_dumps()
    data = next(_frames(0), None)
    if data is None:
        return  # whoever started us thought better of it
    config = msgspec.msgpack.decode(data, type=KeeperConfig)
    lock = _lock(config.run_dir)
    keeper = Keeper(Loop(), config)
    _detach(config.log_dir)
    keeper.start()
    keeper.run()
    os.close(lock)


if __name__ == "__main__":
    main()
