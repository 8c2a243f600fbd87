"""What the keeper, its clients and the zygote say to each other: length-prefixed msgpack over unix sockets.

A frame is a 4-byte big-endian length and one message. This module is imported by the keeper, so it stays with
msgspec and a handful of small standard modules.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Literal

import msgspec
from msgspec import Struct

MAX_FRAME = 16 * 1024 * 1024
_LENGTH = struct.Struct(">I")

# Descriptor numbers in every process the keeper makes; 0 is /dev/null, 1 and 2 the log pipe.
UNIX_FD = 3
TCP_FD = 4
NOTIFY_FD = 5
SPEC_FD = 6
GATE_FD = 7
"""A new process waits here until the keeper has written it down; it ends if the keeper does not come to that."""


class Exec(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="exec"):
    """A new program. ``payload`` arrives in a memory file on ``SPEC_FD``; ``env`` is the whole environment."""

    argv: list[str]
    env: dict[str, str] = {}
    cwd: str = "/"
    payload: bytes = b""


class Fork(Struct, frozen=True, kw_only=True, omit_defaults=True, tag="fork"):
    """A child of the zygote of that instance, which calls ``entry`` (``module:function``) with ``payload``."""

    zygote: str
    entry: str
    payload: bytes
    env: dict[str, str] = {}
    """Added to the zygote's environment."""
    title: str = ""


class Doors(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Listening sockets of one name. They outlive its instances, so callers may connect while it restarts."""

    unix: str = ""
    host: str = "127.0.0.1"
    port: int = 0


class Bounds(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What one instance and its children may use; None: unbounded. MiB, percent of one core, counts, nice(2)."""

    memory_mb: int | None = None
    cpu_percent: int | None = None
    processes: int | None = None
    open_files: int | None = None
    log_mb: int | None = None
    nice: int | None = None


# ---- requests to the keeper ----


class Request(Struct, frozen=True, kw_only=True, omit_defaults=True, tag=True):
    """``seq`` comes back in the reply; 0 asks for none."""

    seq: int = 0


class Attach(Request, frozen=True):
    """Send this connection every event from now on; answered by ``Listing``."""


class List(Request, frozen=True):
    """Answered by ``Listing``."""


class SpawnUnit(Request, frozen=True, kw_only=True, omit_defaults=True):
    """Make a process; followed by ``UnitSpawned`` or ``UnitFailed``."""

    name: str
    instance: str
    kind: str
    """``agent``, ``service``, ``zygote`` or ``node``."""
    launch: Exec | Fork
    doors: Doors | None = None
    bounds: Bounds | None = None
    detached: bool = False
    """Whether children that make a session of their own (jobs) outlive it."""


class SignalUnit(Request, frozen=True, kw_only=True):
    """Send ``signal`` to the instance's process group; KILL also goes to strays that carry its mark.

    ``alone``: only to its main process, as for a word its children would not understand.
    """

    instance: str
    signal: int
    alone: bool = False


class EndJobs(Request, frozen=True, kw_only=True):
    """TERM to the detached jobs of every instance of ``name``, KILL after ``grace_s``."""

    name: str
    grace_s: float


class CloseDoors(Request, frozen=True, kw_only=True):
    """Close and unlink the listening sockets of ``name``."""

    name: str


class Remember(Request, frozen=True, kw_only=True):
    """Keep ``data`` for whoever becomes node next; empty forgets it."""

    name: str
    data: bytes


class Rejoin(Request, frozen=True, kw_only=True):
    """An adopted instance asks for new pipes; answered by one byte and two descriptors (log, notify), or by hanging up."""

    instance: str


class ReplaceNode(Request, frozen=True, kw_only=True):
    """End the node and make another one from these, by exec: what an upgrade needs. The zygote goes with it."""

    node: Exec
    zygote: Exec


class AskBeats(Request, frozen=True):
    """Answered by ``Beats``."""


class Note(Request, frozen=True, kw_only=True):
    """Write one line into the log of ``name``."""

    name: str
    level: str
    message: str


class Shutdown(Request, frozen=True, kw_only=True):
    """TERM to everything, KILL after ``grace_s``, remove all sockets, exit. The connection closes when it is done."""

    grace_s: float


AnyRequest = Attach | List | SpawnUnit | SignalUnit | EndJobs | CloseDoors | Remember | Rejoin | ReplaceNode | AskBeats | Note | Shutdown


# ---- replies and events from the keeper ----


class UnitExit(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``at``: monotonic seconds. Neither code nor signal: the keeper was not its parent and cannot know."""

    at: float
    code: int | None = None
    signal: int | None = None
    note: str = ""
    """What the kernel knows beyond that."""


class UnitInfo(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What the keeper knows of one instance. All times are monotonic seconds."""

    name: str
    instance: str
    kind: str
    pid: int | None = None
    start_ticks: int = 0
    born_at: float = 0.0
    ready_at: float | None = None
    beat_at: float | None = None
    status: str = ""
    health: str = ""
    heard: bool = True
    """Whether its notify pipe is still connected; not after the keeper itself was killed."""
    exit: UnitExit | None = None
    empty: bool = False
    tail: list[str] = []


class Listing(Struct, frozen=True, kw_only=True, tag=True):
    """The whole picture: instances that live or ended last of their name, and what was to be remembered."""

    seq: int
    pid: int
    machine: str
    units: list[UnitInfo]
    memory: dict[str, bytes]
    holds: list[str] = []
    """Limits the kernel keeps here: of ``memory``, ``cpu``, ``pids``."""


class Beats(Struct, frozen=True, kw_only=True, tag=True):
    """Instance to the monotonic time of its last sign of life; instances that never gave one are left out."""

    seq: int
    at: dict[str, float]


class UnitSpawned(Struct, frozen=True, kw_only=True, tag=True):
    """There is a process."""

    name: str
    instance: str
    pid: int


class UnitFailed(Struct, frozen=True, kw_only=True, tag=True):
    """There will be no process. ``blame``: because of the unit itself, or because its zygote ended before it was born."""

    name: str
    instance: str
    error: str
    blame: Literal["unit", "zygote"] = "unit"


class UnitSaid(Struct, frozen=True, kw_only=True, tag=True):
    """Lines from its notify pipe, signs of life left out."""

    name: str
    instance: str
    lines: list[str]


class UnitEnded(Struct, frozen=True, kw_only=True, tag=True):
    """Its main process ended; ``tail`` holds the last lines it wrote."""

    name: str
    instance: str
    exit: UnitExit
    empty: bool
    tail: list[str]


class UnitEmptied(Struct, frozen=True, kw_only=True, tag=True):
    """Nothing of its process group is left."""

    name: str
    instance: str


AnyReply = Listing | Beats | UnitSpawned | UnitFailed | UnitSaid | UnitEnded | UnitEmptied


class NodeLoss(Struct, frozen=True, kw_only=True):
    """What the keeper leaves for the next node, under the name of the node: when (Unix seconds) and why the last one ended."""

    at: float
    why: str


# ---- between the keeper and a zygote (one message per packet, descriptors beside it) ----


class Preload(Struct, frozen=True):
    """What a zygote imports, in order: failures of ``modules`` are reported by it, those of ``optional`` ones are left
    to the agents that need them. ``path`` goes in front of ``sys.path``: where the fleet's own modules are.
    """

    modules: list[str]
    first: list[str] = []
    """When not empty: what the node and agents both need. The node is forked when these are there; it imports the rest
    of its own and starts the servers while the zygote imports the agents' modules."""
    optional: list[str] = []
    path: list[str] = []
    title: str = "tandem: zygote"
    warm_up: str = ""
    """A function (``module:function``) to call when everything is imported."""


class ForkOrder(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``targets[i]`` is the number the i-th descriptor sent along gets in the child; 1 also becomes 2."""

    instance: str
    entry: str
    payload: bytes
    env: dict[str, str] = {}
    title: str = ""
    targets: list[int] = []
    open_files: int | None = None


class Hello(Struct, frozen=True, kw_only=True, tag=True):
    """The zygote has imported what it should; ``failed`` maps a module to why it could not be imported."""

    pid: int
    seconds: float
    failed: dict[str, str]


class Forked(Struct, frozen=True, kw_only=True, tag=True):
    """Exactly one of ``pid`` and ``error`` is set."""

    instance: str
    pid: int = 0
    error: str = ""


# ---- what the command line tells a keeper it starts ----


class LogLimits(Struct, frozen=True, kw_only=True):
    """Bounds of the log directory of one machine. The rate is journald's: 10,000 lines in 30 s per unit."""

    file_bytes: int = 10 * 1024 * 1024
    file_age_s: float = 7 * 86400.0
    total_bytes: int = 512 * 1024 * 1024
    line_bytes: int = 64 * 1024
    rate_lines: int = 10_000
    rate_window_s: float = 30.0


class KeeperConfig(Struct, frozen=True, kw_only=True):
    """Which machine, where its things are, and how its zygote and its node are made."""

    machine: str
    run_dir: str
    log_dir: str
    state_dir: str
    zygote: Exec
    node: Exec
    """Used when there is no zygote; its payload goes to the forked node as well."""
    node_entry: str
    node_socket: str
    logs: LogLimits = LogLimits()


def encode_frame(message: Any) -> bytes:
    """One message, ready for a stream socket."""
    data = msgspec.msgpack.encode(message)
    if len(data) > MAX_FRAME:
        raise ValueError(f"message of {len(data)} bytes, at most {MAX_FRAME} are allowed")
    return _LENGTH.pack(len(data)) + data


class Frames:
    """Cuts a byte stream into messages. Raises ``ValueError`` for an oversized frame."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Add what was read; yield every complete message."""
        self._buffer += data
        while len(self._buffer) >= _LENGTH.size:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if size > MAX_FRAME:
                raise ValueError(f"frame of {size} bytes, at most {MAX_FRAME} are allowed")
            end = _LENGTH.size + size
            if len(self._buffer) < end:
                return
            message = bytes(self._buffer[_LENGTH.size : end])
            del self._buffer[:end]
            yield message
