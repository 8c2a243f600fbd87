"""Keeps a copy of the code that ``tandem up`` has started, so that there is a way back to it.

The working tree changes before anybody says ``tandem apply``, so this has to happen early: the node runs
``python -m tandem.release.snapshot MACHINE`` once everything is up.
"""

from __future__ import annotations

import os
import sys

from msgspec.structs import replace

from tandem.core.errors import TandemError
from tandem.core.paths import Home
from tandem.release.draft import draft
from tandem.release.store import Store
from tandem.supervise.node_client import ask
from tandem.supervise.rollout_api import AskRelease, ReleaseStatus

NICENESS = 19


def snapshot(home: Home, machine: str) -> str:
    """Keep what the machine runs, unless a release runs or the copy is there; what came of it, in words.

    Nothing is kept when a file has changed since the machine came up: nobody knows any more what it was.
    """
    status = ask(home.machine(machine), machine, AskRelease())
    if not isinstance(status, ReleaseStatus) or status.current.release.code.id:
        return "a release runs"
    store = Store(home)
    if store.base(machine, status.since) is not None:
        return "the code that came up is kept already"
    made = draft(home, status.current.fleet, status.current, status.since)
    if made.files:
        return "the code has changed since it came up, so there is no copy of what came up"
    code = replace(made.manifest.code, forked_from="")
    store.keep_base(machine, replace(made.manifest, code=code, created=status.since), made.tops)
    return f"the code that came up is kept as {code.id}"


def main(machine: str) -> int:
    """For the node."""
    os.nice(NICENESS)
    try:
        print(snapshot(Home.from_environment(), machine))
    except (TandemError, OSError) as error:
        print(f"the code that came up could not be kept: {error}")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
