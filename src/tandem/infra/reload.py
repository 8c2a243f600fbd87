"""New users without a restart."""

from __future__ import annotations

import asyncio
import os
import signal

from tandem.core.deadline import Deadline
from tandem.core.errors import Unavailable, Unreachable
from tandem.infra.nats import LEAF_SEED_FILE
from tandem.infra.probe import nats_state, valkey_commands
from tandem.infra.spec import NatsProbe, ServerSpec, ValkeyProbe, install, is_current


def needs_restart(spec: ServerSpec) -> bool:
    """Whether what changed since the server ``spec`` started is something it takes over only at a start: nats-server
    keeps the key with which it logged into its hub."""
    seeds = [file for file in spec.files if file.path.name == LEAF_SEED_FILE]
    return any(file.path.exists() and not is_current(file) for file in seeds)


async def reload(spec: ServerSpec, pid: int, timeout_s: float = 5.0) -> None:
    """Write the files of ``spec`` and have the running server ``pid`` take them over.

    Raises :class:`Unavailable` when the server refuses them (it keeps its old configuration, and says why in its log),
    :class:`Unreachable` when it does not answer.
    """
    deadline = Deadline.after(timeout_s)
    try:
        match spec.probe:
            case NatsProbe() as probe:
                await _reload_nats(spec, probe, pid, deadline)
            case ValkeyProbe() as probe:
                # Not SIGHUP, which ends a valkey-server.
                if install(spec):
                    await valkey_commands(probe, ("ACL", "LOAD"))
    except (OSError, EOFError) as error:
        raise Unreachable(f"{spec.name}: {error}") from error


async def _reload_nats(spec: ServerSpec, probe: NatsProbe, pid: int, deadline: Deadline) -> None:
    before = await nats_state(probe)
    if not install(spec):
        return
    os.kill(pid, signal.SIGHUP)
    while (await nats_state(probe)).config_load_time == before.config_load_time:
        if deadline.remaining() <= 0:
            raise Unavailable("nats-server did not take over its new configuration", hint="tandem logs nats")
        await asyncio.sleep(0.02)
