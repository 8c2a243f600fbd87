"""Keeps one node alive: forked from the zygote when there is one, else executed."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable

import msgspec

from tandem.core.errors import EX_CONFIG
from tandem.core.ids import new_id
from tandem.supervise.keeper_loop import Loop
from tandem.supervise.keeper_unit import Unit
from tandem.supervise.keeper_units import Units
from tandem.supervise.keeper_watch import Watch
from tandem.supervise.wire import (
    AnyReply,
    Doors,
    Exec,
    Fork,
    KeeperConfig,
    NodeLoss,
    SpawnUnit,
    UnitEnded,
    UnitExit,
    UnitFailed,
    UnitSaid,
)

NODE = "node"
ZYGOTE = "zygote"
STABLE_S = 10.0
FIRST_DELAY_S = 0.1
MAX_DELAY_S = 5.0


class NodeKeeper:
    """A node that dies comes back: at once after ten good seconds, else after 0.1 s doubling to 5 s.

    A node whose configuration is wrong (exit code 78) is not tried again until ``tandem up`` has it replaced.
    One that gives no sign of life any more (:mod:`tandem.supervise.keeper_watch`) is ended. The next one is left word
    of what became of the last one (:class:`~tandem.supervise.wire.NodeLoss`), unless it was replaced on purpose.
    """

    def __init__(self, loop: Loop, units: Units, config: KeeperConfig, log: Callable[[str, str], None]):
        self._loop = loop
        self._units = units
        self._config = config
        self._log = log
        self._zygote = ""
        self._instance: str | None = None
        self._born_at = 0.0
        self._quick_deaths = 0
        self._retired = False
        self._is_replaced = False
        self._watch = Watch()
        self._hung = ""
        """Why the node is being ended, if it is."""

    def start(self) -> None:
        """Make the zygote; the node follows when it has imported everything. An adopted node stays."""
        self._instance = next((u.instance for u in self._units.live(NODE) if u.exit is None), None)
        zygotes = self._units.live(ZYGOTE)
        if zygotes:
            # It outlived its keeper, but the line to it did not: it serves nobody.
            self._units.signal(zygotes[0].instance, 9)
        self._units.spawn(SpawnUnit(name=ZYGOTE, instance=new_id(), kind=ZYGOTE, launch=self._config.zygote))

    def replace(self, node: Exec, zygote: Exec) -> None:
        """End the node; the next one is executed afresh from ``node``, since the zygote holds the code of the old one.

        The zygote ends as well: the next one imports anew. Agents are not touched. One that had given up is tried again.
        """
        self._config = msgspec.structs.replace(self._config, node=node, zygote=zygote)
        self._zygote = ""
        self._quick_deaths = 0
        self._retired = False
        self._is_replaced = bool(self._units.live(NODE))
        for unit in self._units.live(NODE, ZYGOTE):
            self._units.signal(unit.instance, signal.SIGTERM if unit.kind == NODE else signal.SIGKILL)
        self._ensure()

    def retire(self) -> None:
        """Make no more nodes."""
        self._retired = True

    def look(self) -> None:
        """End a node that hangs: it may write down where, and is killed when it is still there at the next look.

        To be called once a second.
        """
        unit = self._units.find(self._instance) if self._instance is not None else None
        if unit is None or unit.exit is not None or self._retired:
            return
        if not self._watch.look(time.monotonic(), unit.beat_at):
            return
        if unit.pid is None:
            self._log("ERROR", f"the zygote has not made the node for {self._watch.silent} s; it is killed")
            self._units.signal(self._zygote, signal.SIGKILL)
        elif self._hung:
            self._units.signal(unit.instance, signal.SIGKILL)
        else:
            self._abort(unit)

    def _abort(self, unit: Unit) -> None:
        self._hung = (
            f"no sign of life for {self._watch.silent} s: its event loop was blocked, or it was suspended"
        )
        self._log("ERROR", f"the node (pid {unit.pid}) is ended: {self._hung}")
        self._units.signal(unit.instance, signal.SIGABRT, alone=True)

    def hear(self, message: AnyReply) -> None:
        """Follow what becomes of zygotes and of the node."""
        match message:
            case UnitSaid(name=name, instance=instance, lines=lines) if name == ZYGOTE and "READY=1" in lines:
                self._zygote = instance
                self._ensure()
            case UnitEnded(name=name) | UnitFailed(name=name) if name == ZYGOTE:
                self._zygote = ""
                self._loop.after(0.0, self._ensure)
            case UnitEnded(instance=instance, exit=ended) if instance == self._instance:
                self._instance = None
                if ended.code == EX_CONFIG:
                    self._log("ERROR", "the node's configuration is wrong; it is not started again")
                    self._retired = True
                    # Who asks must not wait for an answer nobody will give.
                    self._units.close_doors(NODE)
                else:
                    self._lost(_describe(ended))
            case UnitFailed(instance=instance, error=error) if instance == self._instance:
                self._instance = None
                self._lost(f"could not be started: {error}")

    def _lost(self, how: str) -> None:
        self._log("ERROR", f"the node ended ({how}); starting another")
        if not self._is_replaced:
            loss = NodeLoss(at=time.time(), why=self._hung or how)
            self._units.keep_in_mind(NODE, msgspec.msgpack.encode(loss))
        self._hung, self._is_replaced = "", False
        self._again()

    def _again(self) -> None:
        stable = time.monotonic() - self._born_at >= STABLE_S
        self._quick_deaths = 0 if stable else self._quick_deaths + 1
        delay = (
            0.0
            if self._quick_deaths < 2
            else min(FIRST_DELAY_S * 2 ** min(self._quick_deaths, 10), MAX_DELAY_S)
        )
        self._loop.after(delay, self._ensure)

    def _ensure(self) -> None:
        if self._instance is not None or self._retired:
            return
        self._instance = new_id()
        self._born_at = time.monotonic()
        self._watch = Watch()
        self._units.spawn(
            SpawnUnit(
                name=NODE,
                instance=self._instance,
                kind=NODE,
                launch=self._launch(),
                doors=Doors(unix=self._config.node_socket),
            )
        )

    def _launch(self) -> Exec | Fork:
        node = self._config.node
        if not self._zygote:
            return node
        return Fork(
            zygote=self._zygote,
            entry=self._config.node_entry,
            payload=node.payload,
            title=f"tandem: node {self._config.machine}",
        )


def _describe(ended: UnitExit) -> str:
    return f"signal {ended.signal}" if ended.signal is not None else f"exit code {ended.code}"
