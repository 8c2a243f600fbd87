"""What the stores acknowledged survives kill -9, for real."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tandem_agents.infrastructure.alarms import AlarmBook
from tandem_agents.memory_services.store import MemoryDatabase

pytestmark = pytest.mark.integration

WRITER = """
import sys
from pathlib import Path
from tandem_agents.infrastructure.alarms import AlarmBook
from tandem_agents.infrastructure.contracts import Alarm
from tandem_agents.memory_services.contracts import NewMemory
from tandem_agents.memory_services.store import MemoryDatabase

place = Path(sys.argv[1])
alarms, memories = AlarmBook(place / "alarms.db"), MemoryDatabase(place / "memory.db")
number = 0
while True:
    alarms.merge([Alarm(id=str(number), kind="timer", due=1.0 * number, created=0.0)])
    memories.add([NewMemory(id=str(number), content=f"fact number {number}")], 1.0)
    print(number, flush=True)
    number += 1
"""


def test_everything_acknowledged_before_the_kill_is_there(tmp_path: Path) -> None:
    """A process that stores and acknowledges without pause is killed five times; no acknowledged entry is missing."""
    acknowledged = -1
    for life in range(5):
        place = tmp_path / str(life)
        place.mkdir()
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(place)], stdout=subprocess.PIPE, text=True
        )
        assert writer.stdout is not None
        for _ in range(20 + 7 * life):
            acknowledged = int(writer.stdout.readline())
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
        writer.wait()
        acknowledged = int(rest[-1]) if rest else acknowledged
        memories, alarms = MemoryDatabase(place / "memory.db"), AlarmBook(place / "alarms.db")
        expected = [str(number) for number in range(acknowledged + 1)]
        assert [memory.id for memory in memories.get_many(expected)] == expected
        assert {alarm.id for alarm in alarms.everything()} >= set(expected)
        assert memories.database.rows("PRAGMA integrity_check")[0][0] == "ok"
        memories.close()
        alarms.close()
