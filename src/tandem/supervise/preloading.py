"""What a zygote imports for its agents, and what becomes of a module that does a zygote harm.

A module may hang, end the process, or start a thread while it is imported. In its agent that is the agent's trouble; in
the zygote it would be everybody's. So a zygote says which module it is at, and lets itself be killed rather than hang;
the supervisor makes the next one without the module a zygote died of, and the agents of that module import it themselves.
"""

from __future__ import annotations

import importlib
import os
import signal
from collections.abc import Callable, Iterable

import msgspec
from msgspec.structs import replace

from tandem.supervise.wire import Exec, Preload

IMPORT_S = 15
"""Whole seconds one module may take to be imported; heavy libraries belong into an agent's ``start``."""

SPOILED = 70
"""Exit status of a zygote in which a thread was started (EX_SOFTWARE, sysexits.h): it must not fork any more."""

_DOING = "importing "


def import_guarded(modules: Iterable[str], tell: Callable[[str], None], threads: Callable[[], int]) -> None:
    """Import what agents will need. A module that fails is left to them; one that does harm ends this process."""
    for module in modules:
        tell(f"{_DOING}{module}")
        # The default action of SIGALRM ends the process, whatever the module does, in C as well.
        signal.alarm(IMPORT_S)
        try:
            importlib.import_module(module)
        except (Exception, SystemExit):
            continue  # its agent will meet the same, and tell
        finally:
            signal.alarm(0)
            if threads() > 1:
                os._exit(SPOILED)
    tell("")


def culprit(status: str) -> str:
    """The module a zygote with this last ``status`` was at when it ended; empty when it was at none."""
    return status.removeprefix(_DOING) if status.startswith(_DOING) else ""


def without(zygote: Exec, module: str) -> Exec:
    """How a zygote is made that leaves ``module`` to its agents."""
    preload = msgspec.msgpack.decode(zygote.payload, type=Preload)
    left = [name for name in preload.optional if name != module]
    return replace(zygote, payload=msgspec.msgpack.encode(replace(preload, optional=left)))
