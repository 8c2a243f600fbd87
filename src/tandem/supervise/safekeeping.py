"""Has the code that came up copied once everything runs, for ``tandem rollback`` after the first ``tandem apply``."""

from __future__ import annotations

import asyncio
import logging
import sys

from tandem.supervise.boot import python_path
from tandem.supervise.lifecycle import Goal, Phase
from tandem.supervise.release import WORKING_TREE
from tandem.supervise.supervisor import Supervisor
from tandem.supervise.waiting import until

log = logging.getLogger("tandem.node")

MODULE = "tandem.release.snapshot"
REST_S = 5.0
"""The copy takes a second or two of CPU; a start must be over before, whoever waits for it."""

PATIENCE_S = 60.0
"""An agent that takes longer to start, or never does, is not waited for: code on disk may change any time."""


async def keep_code(supervisor: Supervisor, machine: str, env: dict[str, str], fleet_dir: str) -> None:
    """Wait for the start to be over, then copy. Ends the copying process when cancelled."""
    await until(supervisor, lambda: not _is_starting(supervisor), PATIENCE_S)
    await asyncio.sleep(REST_S)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-m", MODULE, machine,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        cwd=fleet_dir, env=env | python_path(WORKING_TREE, env, fleet_dir),
    )  # fmt: skip
    try:
        out, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    level = logging.INFO if process.returncode == 0 else logging.WARNING
    log.log(level, "%s", out.decode(errors="replace").strip())


def _is_starting(supervisor: Supervisor) -> bool:
    """Whether nothing has been asked for yet, or something is on its way."""
    agents = supervisor.agents()
    wanted = [runner for runner in agents if runner.state.goal is Goal.RUN]
    return not wanted or any(runner.state.phase in (Phase.WAITING, Phase.STARTING) for runner in wanted)
