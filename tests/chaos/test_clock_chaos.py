"""Somebody sets the clock of the computer: nobody dies of it, nothing expires, nothing falls silent."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest
from fleet_rig import FleetRig, MakeFleet
from operator_line import call

pytestmark = [pytest.mark.chaos, pytest.mark.timeout(400)]

HOUR_S = 3600
LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))), None)
FLEET = """
Echo: {class: chaos_agents:Echo}
Asker: {class: chaos_agents:Asker, needs: [Echo]}
Talker: {class: chaos_agents:Talker}
Sick: {class: chaos_agents:Sickly, required: false, restart: {first_delay_s: 4, max_delay_s: 4, jitter: 0}}
"""
CUSTOMIZE = """
import os, time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + int(os.readlink({link!r}))
time.time_ns = lambda: _time_ns() + int(os.readlink({link!r})) * 10**9
"""
"""Python runs this at the start of every process; a link is read and replaced in one step, and holds no descriptor."""
PRELOAD = """
_execvpe = os.execvpe
def execvpe(file, args, env):
    _execvpe(file, args, env | {more!r} if file.endswith("valkey-server") else env)
os.execvpe = execvpe
"""
"""The library is for Valkey alone: in every process of ours it would also change what it should not."""


def clock_of_python(rig: FleetRig) -> Callable[[int], None]:
    """Sets what ``time.time`` says in every process of the fleet, in seconds from the truth."""
    place = rig.root / "clock"
    place.mkdir()
    link = place / "shift"
    link.symlink_to("0")
    (place / "sitecustomize.py").write_text(CUSTOMIZE.format(link=str(link)))
    rig.env["PYTHONPATH"] = f"{place}:{rig.env['PYTHONPATH']}"

    def shift(seconds: int) -> None:
        (place / "new").symlink_to(str(seconds))
        (place / "new").rename(link)

    return shift


def clock_of_valkey_too(rig: FleetRig) -> Callable[[int], None]:
    """Sets Valkey's clock as well, by which leases expire; intervals stay as they are."""
    if LIBRARY is None:
        pytest.skip("libfaketime is not installed (Debian, Ubuntu: apt install libfaketime)")
    shift_python = clock_of_python(rig)
    file = rig.root / "shift"
    file.write_text("+0")
    more = {
        "LD_PRELOAD": str(LIBRARY),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    with (rig.root / "clock" / "sitecustomize.py").open("a") as customize:
        customize.write(PRELOAD.format(more=more))

    def shift(seconds: int) -> None:
        new = file.with_name("new")
        new.write_text(f"{seconds:+d}")
        new.rename(file)
        shift_python(seconds)

    return shift


def last_words_of_valkey(rig: FleetRig) -> datetime:
    """When the control server thought it wrote its last line."""
    log = Path(rig.env["TANDEM_HOME"]) / "machines/m1/logs/valkey-control.log"
    found = re.findall(r":M (\d+ \w+ \d+ [\d:]+)", log.read_text())
    return datetime.strptime(found[-1], "%d %b %Y %H:%M:%S")


def said(rig: FleetRig) -> int:
    """The last number Talker has counted to."""
    lines = rig.tandem("logs", "Talker", "--lines", "0").splitlines()
    return max((int(line.split("number ")[1].split()[0]) for line in lines if "number " in line), default=0)


def sound(rig: FleetRig, untouched: dict[str, int]) -> None:
    """The fleet does what it did before: calls old and new, events, timers, logs, deaths and births."""
    rows = {row["name"]: row for row in rig.status()["agents"]}
    assert {name: rows[name]["pid"] for name in untouched} == untouched
    assert all(rows[name]["restarts"] == 0 for name in untouched)
    assert call(rig, "Asker", "ask", text="as before") == "as before"

    began = time.monotonic()
    ticks, heard = call(rig, "Asker", "counts")
    rig.until(lambda: (now := call(rig, "Asker", "counts"))[0] > ticks and now[1] > heard, "timers and events")
    later, _ = call(rig, "Asker", "counts")
    assert later - ticks <= (time.monotonic() - began) / 0.5 + 2, "timers made up for time that never was"

    number = said(rig)
    rig.until(lambda: said(rig) > number, "new lines in the log")

    # A new connection between agents needs credentials and tokens that hold now, and a lease that was written now.
    echo = rig.pid("Echo")
    os.kill(echo, signal.SIGKILL)
    rig.until(lambda: (row := rig.agent("Echo"))["state"] == "healthy" and row["pid"] != echo, "another Echo")
    assert call(rig, "Asker", "ask", text="afresh") == "afresh"

    # Whoever rests after a death rests as long as it was to, neither an hour nor not at all.
    deaths = rig.agent("Sick")["restarts"]
    since = time.monotonic()
    rig.until(lambda: rig.agent("Sick")["restarts"] > deaths, "the end of a rest")
    assert rig.agent("Sick")["restarts"] - deaths <= (time.monotonic() - since) / 4 + 2


@pytest.mark.parametrize("means", [clock_of_python, clock_of_valkey_too], ids=["python", "valkey"])
def test_a_clock_that_jumps(fleet: MakeFleet, means: Callable[[FleetRig], Callable[[int], None]]) -> None:
    """An hour forward, then two back: the same processes serve, and everything that has to do with time goes on."""
    rig = fleet(FLEET)
    shift = means(rig)
    rig.tandem("up")
    untouched = {name: rig.pid(name) for name in ("Asker", "Talker")}
    assert call(rig, "Asker", "ask", text="hello") == "hello"
    (Path(rig.env["TANDEM_HOME"]) / "machines/m1/state/Sick/ill").touch()
    for seconds in (HOUR_S, -HOUR_S):
        shift(seconds)
        sound(rig, untouched)
    rig.tandem("down")
    assert rig.remains() == []
    behind_s = (datetime.now() - last_words_of_valkey(rig)).total_seconds()
    assert (behind_s > HOUR_S / 2) == (means is clock_of_valkey_too)
