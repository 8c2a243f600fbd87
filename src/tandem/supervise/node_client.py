"""The command line's line to nodes: blocking, several machines at once, and clear about what is wrong."""

from __future__ import annotations

import os
import selectors
import socket
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from tandem.core.errors import EX_CONFIG, PermissionDenied, TandemError, Unreachable
from tandem.core.paths import KEEPER_SOCKET, Home, MachineDirs
from tandem.supervise.api import AnyAnswer, AnyQuestion, AskStatus, Done, MachineStatus, Refused
from tandem.supervise.rollout_api import ReleaseStatus
from tandem.supervise.wire import Frames, UnitInfo, encode_frame

RUN_DIR_FILE = "run-dir"
"""In a machine's state directory: where its keeper put the sockets."""

_decode = msgspec.msgpack.Decoder(AnyAnswer).decode
Final = MachineStatus | Done | Refused | ReleaseStatus


class NotRunning(Unreachable):
    """Nothing of this machine runs under this home."""


class Interrupted(Unreachable):
    """The line to a machine broke: its node or keeper is as a rule being replaced, and a question can be asked again."""


class GaveUp(Unreachable):
    """The machine's node has ended for good: somebody has to mend something first."""


class Conversation:
    """One question to one machine's node."""

    def __init__(self, dirs: MachineDirs, machine: str, question: AnyQuestion):
        """Raises :class:`NotRunning`, :class:`Unreachable` or :class:`PermissionDenied`, each saying which case it is."""
        self.machine = machine
        self.link = socket.socket(socket.AF_UNIX)
        self._frames = Frames()
        try:
            self.link.connect(str(dirs.node_socket))
            self.link.sendall(encode_frame(question))
        except OSError as error:
            self.link.close()
            raise why_unreachable(dirs, machine, error) from error
        self.link.setblocking(False)

    def read(self) -> list[AnyAnswer]:
        """What has arrived. Raises :class:`Interrupted` when the node hung up."""
        try:
            data = self.link.recv(1 << 18)
        except BlockingIOError:
            return []
        except ConnectionError:
            data = b""
        if not data:
            raise Interrupted(
                f"the node of {self.machine} went away before it was done", hint="tandem logs node"
            )
        return [_decode(frame) for frame in self._frames.feed(data)]


def follow(
    conversations: Iterable[Conversation],
    on_answer: Callable[[str, AnyAnswer], None],
    timeout_s: float | None,
) -> dict[str, Final | TandemError]:
    """Read until every machine has given its last word; who has not by then is missing from the answer."""
    finals: dict[str, Final | TandemError] = {}
    until = None if timeout_s is None else time.monotonic() + timeout_s
    with selectors.DefaultSelector() as selector:
        for conversation in conversations:
            selector.register(conversation.link, selectors.EVENT_READ, conversation)
        while selector.get_map():
            left = None if until is None else until - time.monotonic()
            if left is not None and left <= 0:
                break
            for key, _events in selector.select(left):
                final = _take(key.data, on_answer)
                if final is not None:
                    finals[key.data.machine] = final
                    selector.unregister(key.data.link)
        for key in list(selector.get_map().values()):
            key.data.link.close()
    return finals


def _take(
    conversation: Conversation, on_answer: Callable[[str, AnyAnswer], None]
) -> Final | TandemError | None:
    try:
        answers = conversation.read()
    except TandemError as error:
        conversation.link.close()
        return error
    for answer in answers:
        if isinstance(answer, Final):
            conversation.link.close()
            return answer
        on_answer(conversation.machine, answer)
    return None


def ask(dirs: MachineDirs, machine: str, question: AnyQuestion, timeout_s: float = 10.0) -> Final:
    """One question, one final answer. Raises what :class:`Conversation` does, or :class:`Unreachable` for silence."""
    conversation = Conversation(dirs, machine, question)
    final = follow([conversation], lambda _machine, _answer: None, timeout_s).get(machine)
    if final is None:
        raise silent(dirs, machine, timeout_s)
    if isinstance(final, TandemError):
        raise final
    return final


def silent(dirs: MachineDirs, machine: str, timeout_s: float) -> TandemError:
    """Why a node whose socket is open says nothing: the keeper holds the socket and knows how the node is."""
    node = _node_of(dirs, machine)
    if isinstance(node, Unreachable):
        return node
    if node is None or node.exit is not None:
        return without_node(dirs, machine)
    return Unreachable(
        f"the node of {machine} (pid {node.pid}) did not answer within {timeout_s:g} s",
        hint="tandem logs node",
    )


def without_node(dirs: MachineDirs, machine: str) -> TandemError:
    """What became of the node of a machine that has a keeper. :class:`GaveUp`: it will not be back by itself."""
    node = _node_of(dirs, machine)
    if isinstance(node, Unreachable):
        return node
    why = f": {_last_word(node)}" if node is not None and node.exit is not None and node.tail else ""
    if node is not None and node.exit is not None and node.exit.code == EX_CONFIG:
        return GaveUp(f"the node of {machine} gave up{why}", hint="mend that, then tandem up")
    return Interrupted(f"the node of {machine} is not there yet, or not back yet{why}", hint="tandem logs node")


def _last_word(node: UnitInfo) -> str:
    from tandem.telemetry.logs import render_plain

    return render_plain(node.tail[-1]).partition("\n")[0]


def _node_of(dirs: MachineDirs, machine: str) -> UnitInfo | Unreachable | None:
    """The newest node as the keeper knows it; why the keeper does not tell."""
    from tandem.supervise.keeper_client import ask_listing

    try:
        units = [unit for unit in ask_listing(dirs.keeper_socket).units if unit.kind == "node"]
    except (OSError, TandemError) as error:
        return Interrupted(
            f"neither node nor keeper of {machine} answers: {error}", hint="tandem down, then tandem up"
        )
    return max(units, key=lambda unit: unit.born_at, default=None)


def why_unreachable(dirs: MachineDirs, machine: str, error: OSError) -> TandemError:
    """Which case it is: no permission, stale socket, another run directory, or not running."""
    if isinstance(error, PermissionError):
        return PermissionDenied(
            f"no permission for {dirs.node_socket}", hint="run it as the user who ran tandem up"
        )
    if isinstance(error, ConnectionRefusedError):
        return Interrupted(
            f"{dirs.node_socket} is stale: nobody listens any more",
            hint="tandem up takes over what still runs",
        )
    elsewhere = recorded_run_dir(dirs)
    if elsewhere is not None and elsewhere != dirs.run and (elsewhere / "keeper.sock").exists():
        return Unreachable(
            f"{machine} runs with another run directory: {elsewhere}",
            hint=f"set TANDEM_RUN_DIR={elsewhere.parent}, or unset it",
        )
    if isinstance(error, FileNotFoundError) and dirs.keeper_socket.exists():
        return without_node(dirs, machine)
    if isinstance(error, FileNotFoundError):
        return NotRunning(f"{machine} is not running under {dirs.root.parent.parent}", hint="tandem up")
    return Unreachable(f"{machine} cannot be reached: {error}")


def running_fleet_file(home: Home) -> Path | None:
    """The fleet file a running node of this home was given; None when none answers."""
    for machine in known_machines(home):
        try:
            answer = ask(home.machine(machine), machine, AskStatus(), 5.0)
        except TandemError:
            continue
        if isinstance(answer, MachineStatus) and answer.fleet_file:
            return Path(answer.fleet_file)
    return None


def recorded_run_dir(dirs: MachineDirs) -> Path | None:
    """Where the machine's last keeper put its sockets."""
    try:
        place = Path((dirs.state / RUN_DIR_FILE).read_text().strip())
        return place if place.is_dir() else None
    except (FileNotFoundError, PermissionError, ValueError):
        return None  # no keeper has been here, or nobody can read what it wrote


def known_machines(home: Home) -> list[str]:
    """Machines that have ever run under this home, by name; those that run on although it was deleted included."""
    found = {path.name for path in _folders(home.root / "machines")}
    return sorted(found | {path.name for path in _folders(home.run_root()) if (path / KEEPER_SOCKET).exists()})


def _folders(directory: Path) -> list[Path]:
    try:
        return [Path(entry.path) for entry in os.scandir(directory) if entry.is_dir()]
    except FileNotFoundError:
        return []
