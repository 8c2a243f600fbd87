"""Modules that do harm while they are imported: in their own agent only, never in the process all are forked from."""

from __future__ import annotations

import os
import signal

import pytest
from fleet_rig import PATIENCE_S, MakeFleet

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def test_one_bad_module_keeps_nobody_else_from_starting(fleet: MakeFleet) -> None:
    """One module hangs, one ends its process, one starts a thread: the others run, each bad one is told, ``down`` works."""
    rig = fleet(
        "A: {class: chaos_agents:Good}\n"
        "Ends: {class: ends_at_import:X, required: false}\n"
        "Hangs: {class: hangs_at_import:Sleeper, start_timeout_s: 5, required: false}\n"
        "Thread: {class: threads_at_import:Threaded}\n"
        "Z: {class: chaos_agents:Good}"
    )
    up = rig.start("up")
    wanted = {"A", "Z", "Thread"}

    def healthy() -> set[str]:
        return {row["name"] for row in rig.status()["agents"] if row["state"] == "healthy"}

    rig.until(lambda: any(rig.run.glob("*/node.sock")) and healthy() >= wanted, "the others")
    rig.until(lambda: "not ready in time" in rig.agent("Hangs")["note"], "the hanging one to be named")
    rig.until(lambda: "exit code 5" in rig.agent("Ends")["exit"], "the ending one to be named")
    for module in ("hangs_at_import", "ends_at_import", "threads_at_import"):
        word = f"importing {module} has ended zygote"
        rig.until(lambda word=word: word in rig.tandem("logs", "node", "--lines", "0"), word)
    up.communicate(timeout=PATIENCE_S)
    pid = rig.pid("A")
    rig.tandem("restart", "A")
    assert rig.pid("A") != pid
    rig.tandem("down")
    assert rig.remains() == []


def test_a_frozen_zygote_is_found_out_when_somebody_is_to_be_born(fleet: MakeFleet) -> None:
    """SIGSTOP of the zygote, and nobody helps: a restart waits until it is replaced, and succeeds; nobody else notices."""
    rig = fleet("A: {class: chaos_agents:Good}\nB: {class: chaos_agents:Good}")
    rig.tandem("up")
    zygote, pids = rig.keeper()["zygote"], {name: rig.pid(name) for name in ("A", "B")}
    os.kill(zygote, signal.SIGSTOP)
    out, err = rig.start("restart", "A").communicate(timeout=PATIENCE_S)
    assert rig.agent("A")["state"] == "healthy", out + err
    assert rig.agent("A")["restarts"] == 0
    assert rig.pid("A") != pids["A"] and rig.pid("B") == pids["B"]
    assert rig.keeper()["zygote"] != zygote
    rig.until(lambda: "no child was born for" in rig.tandem("logs", "node", "--lines", "0"), "the node's word")
    rig.tandem("down")
    assert rig.remains() == []
