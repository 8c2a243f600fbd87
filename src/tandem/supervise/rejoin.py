"""How an agent finds its pipes again after its keeper was killed: it asks the next one for new ones."""

from __future__ import annotations

import os
import socket
from functools import partial
from pathlib import Path

from tandem.agent.spec import AgentSpec
from tandem.core.paths import KEEPER_SOCKET
from tandem.supervise.descriptors import receive_fds
from tandem.supervise.wire import Rejoin, encode_frame

TIMEOUT_S = 0.5
"""It is asked in the agent's event loop, and tried again a second later."""


def mender(spec: AgentSpec) -> partial[bool]:
    """What an agent's notifier calls when nobody reads its pipe any more."""
    path = Path(spec.run_dir) / KEEPER_SOCKET
    return partial(rejoin, path, spec.instance, spec.notify_fd)


def rejoin(path: Path, instance: str, notify_fd: int | None) -> bool:
    """Put a new log pipe in place of standard output and error, and a new notify pipe in place of ``notify_fd``.

    False when there is no keeper yet, or when it does not know this process as that instance.
    """
    if notify_fd is None:
        return False
    with socket.socket(socket.AF_UNIX) as link:
        link.settimeout(TIMEOUT_S)
        try:
            link.connect(str(path))
            link.sendall(encode_frame(Rejoin(instance=instance)))
            _word, fds = receive_fds(link, 1)
        except OSError:
            return False
    if len(fds) != 2:
        return False
    log, notify = fds
    for source, targets in ((log, (1, 2)), (notify, (notify_fd,))):
        for target in targets:
            os.dup2(source, target)
        os.close(source)
    os.set_blocking(notify_fd, False)
    return True
