"""What the keeper writes down of its units' words: bounded in rate and size, whatever the disk does."""

from __future__ import annotations

from pathlib import Path

import pytest
from keeper_rig import KeeperRig, until

from tandem.supervise.wire import LogLimits, UnitEnded, UnitSaid

pytestmark = pytest.mark.integration


async def test_a_flood_is_limited_counted_and_never_blocks(tmp_path: Path) -> None:
    """Lines beyond the rate are left out, and one line tells how many."""
    rig = await KeeperRig(tmp_path, LogLimits(rate_lines=100, rate_window_s=2.0)).start()
    # All in one write, which fits into the pipe, so that it is one flood however busy the computer is.
    code = "import os; os.write(1, b''.join(b'line %d\\n' % n for n in range(5000)))"
    await rig.heard(UnitEnded, rig.run_python("A", code))
    await until(lambda: any("suppressed" in line for line in rig.log("A")), "the count")
    lines = rig.log("A")
    assert sum("suppressed" not in line for line in lines) == 100
    assert sum(line.get("suppressed", 0) for line in lines) == 4900
    await rig.stop()


async def test_logs_rotate_compress_and_stay_below_the_ceiling(tmp_path: Path) -> None:
    """Many megabytes of lines end as compressed files whose total, with the current one, is below the ceiling."""
    limits = LogLimits(file_bytes=200_000, total_bytes=600_000, rate_lines=10**9)
    rig = await KeeperRig(tmp_path, limits).start()
    code = (
        "import random, time\n"
        "for n in range(80): print(n, random.randbytes(15000).hex(), flush=True); time.sleep(.05)"
    )
    await rig.heard(UnitEnded, rig.run_python("A", code))
    await until(lambda: list(rig.logs.glob("A-*.log.gz")), "a compressed file")
    await until(lambda: sum(p.stat().st_size for p in rig.logs.iterdir()) < 600_000, "the ceiling")
    await rig.stop()


async def test_a_full_disk_loses_lines_but_nothing_else(tmp_path: Path) -> None:
    """When the log cannot grow, agents go on, the keeper counts, and says how many lines were lost once it can."""

    def small_files() -> None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    rig = await KeeperRig(tmp_path, LogLimits(file_bytes=10**9)).start(preexec_fn=small_files)
    code = "for n in range(3000): print('line', n)"
    ended = await rig.heard(UnitEnded, rig.run_python("A", code))
    assert ended.exit.code == 0
    assert (rig.logs / "A.log").stat().st_size <= 20_000
    assert ended.tail[-1] == "line 2999"
    ready = rig.fork("B", "children:ready")
    await rig.heard(UnitSaid, ready)
    (rig.logs / "A.log").write_bytes(b"")
    await rig.heard(UnitEnded, rig.run_python("A", "print('again')"))
    assert any("lines lost" in line["msg"] for line in rig.log("A"))
    await rig.stop()
