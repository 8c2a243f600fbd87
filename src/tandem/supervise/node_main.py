"""Where a node begins: forked from the zygote, or executed when there is none."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import socket
import sys
from pathlib import Path

import msgspec
import uvloop

from tandem.agent.notify import Notifier
from tandem.core.errors import EX_CONFIG, ConfigError, PermissionDenied, Unreachable
from tandem.core.paths import Home
from tandem.security import forbid_dumps, redact
from tandem.supervise.boot import NodeBoot
from tandem.supervise.control import ControlServer
from tandem.supervise.keeper_link import KeeperLink
from tandem.supervise.keeper_watch import PERIOD_S
from tandem.supervise.node import NODE, Node
from tandem.supervise.wire import NOTIFY_FD, SPEC_FD, UNIX_FD
from tandem.telemetry import logs

log = logging.getLogger("tandem.node")


def main(payload: bytes) -> int:
    """Supervise the machine the payload (a packed :class:`NodeBoot`) describes.

    Exit status 78: its configuration or its identity is wrong, and trying again changes nothing.
    """
    boot = msgspec.msgpack.decode(payload, type=NodeBoot)
    logs.configure(NODE, boot.machine, redact=redact)
    forbid_dumps()
    # A keeper that finds us hanging aborts us: then every thread's stack goes to the log.
    faulthandler.enable(file=2, all_threads=True)
    try:
        uvloop.run(_supervise(boot))
    except (ConfigError, PermissionDenied) as error:
        log.critical("configuration: %s", error)
        return EX_CONFIG
    except Unreachable as error:
        log.critical("%s", error)
        return 1
    return 0


async def _supervise(boot: NodeBoot) -> None:
    pulse = asyncio.create_task(_pulse(Notifier(NOTIFY_FD)), name="pulse")
    keeper = await KeeperLink.connect(Home(Path(boot.home)).machine(boot.machine).keeper_socket)
    node = Node(boot, keeper)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, node.end)
    control = ControlServer(node)
    try:
        await node.take_over()
        await control.listen(socket.socket(fileno=UNIX_FD))
        await node.run()
    finally:
        control.close()
        keeper.close()
        pulse.cancel()


async def _pulse(notifier: Notifier) -> None:
    """Let the keeper know that the event loop turns."""
    while True:
        notifier.alive()
        await asyncio.sleep(PERIOD_S)


if __name__ == "__main__":
    with os.fdopen(SPEC_FD, "rb") as file:
        sys.exit(main(file.read()))
