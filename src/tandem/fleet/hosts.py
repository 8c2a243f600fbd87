"""Which machines of a fleet are this computer."""

from __future__ import annotations

import ipaddress
import socket


def is_this_computer(host: str) -> bool:
    """Whether ``host`` (an address or a name) is this computer.

    An address is ours when a socket can be bound to it. Names are compared with ``localhost`` and the host
    name and never looked up, so that reading a fleet file waits for no name server.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        own = socket.gethostname().lower()
        return host.lower().rstrip(".") in ("localhost", own, own.partition(".")[0])
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((host, 0))
    except OSError:
        return False
    return True
