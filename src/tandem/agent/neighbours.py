"""How the operator of this computer reaches its agents: by their sockets, and known to them by the kernel.

No token is shown: an agent takes whoever the kernel says is the fleet's own user, or root, for the operator
(:meth:`tandem.agent.trust.Trust.operator`). So no command needs to read the machine's keys.
"""

from __future__ import annotations

from tandem.core.deadline import Deadline
from tandem.core.errors import PermissionDenied, Unreachable
from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.rpc import Endpoint


def endpoint_of(home: Home, identity: AgentId) -> Endpoint:
    """The socket of an agent of this computer.

    Raises :class:`Unreachable` when it does not run, :class:`PermissionDenied` when the fleet is another user's.
    """
    path = home.machine(identity.machine).agent_socket(identity.name)
    try:
        path.stat()
    except PermissionError as error:
        raise PermissionDenied(
            f"{identity} belongs to another user of this computer", hint="run this as the user who started the fleet"
        ) from error
    except OSError as error:
        raise Unreachable(
            f"{identity} is not running", hint="tandem status shows why; tandem up starts the fleet"
        ) from error
    return Endpoint.of_socket(path, identity)


class Neighbours:
    """A resolver for agents of this computer, by their identities."""

    def __init__(self, home: Home):
        self._home = home

    async def resolve(self, peer: str, deadline: Deadline) -> Endpoint:
        """See :class:`tandem.rpc.Resolver`."""
        return endpoint_of(self._home, AgentId(peer))
