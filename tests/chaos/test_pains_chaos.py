"""What users of other supervisors complain of, tried on ours; docs/faults.md lists which test stands for what."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import pytest
from fleet_rig import PATIENCE_S, MakeFleet
from operator_line import call

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]


def test_a_slow_start_that_says_so_is_not_taken_for_a_hang(fleet: MakeFleet) -> None:
    """An agent that asks for more time than its start deadline gets it: ready after twice the deadline, never killed."""
    rig = fleet("Slow: {class: chaos_agents:Slow, start_timeout_s: 5}")
    rig.tandem("up")
    slow = rig.agent("Slow")
    assert (slow["state"], slow["restarts"]) == ("healthy", 0) and slow["ready_after_s"] > 5


def test_whoever_is_slow_holds_nobody_else_up(fleet: MakeFleet) -> None:
    """While one agent lingers in its end and another is stuck in its start, orders for others and ``status`` are served."""
    rig = fleet(
        "A: {class: chaos_agents:Good}\nL: {class: chaos_agents:Lingerer, stop_grace_s: 100}\n"
        "S: {class: chaos_agents:Stuck, required: false, start_timeout_s: 600}"
    )
    up = rig.start("up")
    rig.until(
        lambda: any(rig.run.glob("*/node.sock")) and {"healthy"} <= {a["state"] for a in rig.status()["agents"][:2]}
        and rig.agent("S")["state"] == "starting" and rig.agent("L")["state"] == "healthy", "the fleet"
    )  # fmt: skip
    stop = rig.start("stop", "L")
    rig.until_state("L", "draining")
    rig.tandem("restart", "A")
    assert rig.agent("A")["state"] == "healthy" and rig.agent("L")["state"] == "draining"
    # A stop pre-empts a start, however long that may take.
    rig.tandem("stop", "S")
    assert rig.agent("S")["state"] == "stopped" and rig.agent("L")["state"] == "draining"
    (Path(rig.env["TANDEM_HOME"]) / "machines/m1/state/L/may-end").touch()
    stop.communicate(timeout=PATIENCE_S)
    assert (rig.agent("L")["state"], rig.agent("L")["exit"]) == ("stopped", "exit code 0")
    up.communicate(timeout=PATIENCE_S)


def test_a_variable_that_was_removed_is_gone_from_the_next_process(fleet: MakeFleet) -> None:
    """The environment is made anew at each birth: ``apply`` brings the new value, and what was removed does not survive."""
    rig = fleet("W: {class: chaos_agents:Speaker, env: {WORD: one, GONE: still-here}}")
    rig.tandem("up")
    assert (call(rig, "W", "word", name="WORD"), call(rig, "W", "word", name="GONE")) == ("one", "still-here")
    rig.file.write_text(rig.file.read_text().replace("WORD: one, GONE: still-here", "WORD: two"))
    rig.tandem("apply", "--min-healthy", "1")
    assert (call(rig, "W", "word", name="WORD"), call(rig, "W", "word", name="GONE")) == ("two", "nothing")


def test_an_agent_ends_in_order_while_its_event_server_is_frozen(fleet: MakeFleet) -> None:
    """TERM with NATS stopped in the middle of publishing: it ends by itself within its grace, with status 0, not by KILL."""
    rig = fleet("Echo: {class: chaos_agents:Echo}\nAsker: {class: chaos_agents:Asker, needs: [Echo]}")
    rig.tandem("up")
    nats = next(row["pid"] for row in rig.status()["services"] if row["name"] == "nats")
    os.kill(nats, signal.SIGSTOP)
    try:
        rig.tandem("stop", "Asker")
    finally:
        os.kill(nats, signal.SIGCONT)
    assert (rig.agent("Asker")["state"], rig.agent("Asker")["exit"]) == ("stopped", "exit code 0")


def test_a_program_called_python_gets_our_virtual_environment(fleet: MakeFleet) -> None:
    """``command: [python, …]`` runs the interpreter the fleet runs in, by the path it was called by, not what it links to."""
    out = "print(__import__('sys').prefix, flush=True); __import__('time').sleep(600)"
    rig = fleet(f'P: {{command: [python, -c, "{out}"]}}')
    rig.tandem("up")
    rig.until(lambda: f" {sys.prefix}" in f" {rig.tandem('logs', 'P')}", "the program's word")
