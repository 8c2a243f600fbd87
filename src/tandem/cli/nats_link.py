"""How the command line reads the streams of the machines that run on this computer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from nats.aio.client import Client

    from tandem.core.access import NatsAccess
    from tandem.events import Connection

T = TypeVar("T")

CONNECT_S = 5.0


async def with_nats(read: Callable[[Client], Awaitable[T]]) -> T:
    """Let ``read`` ask the first machine of this computer whose NATS answers; each has what all have told.

    Raises as :func:`with_connection` does.
    """

    async def use(connection: Connection) -> T:
        return await read(await connection.client())

    return await with_connection(use)


async def with_connection(use: Callable[[Connection], Awaitable[T]]) -> T:
    """Let ``use`` have a connection to the first machine of this computer whose NATS answers.

    Raises :class:`~tandem.core.errors.Unreachable` when none does.
    """
    import nats.errors

    from tandem.core.errors import Unreachable
    from tandem.events import Connection

    problem: Exception | None = None
    for access in nats_accesses():
        connection = Connection(access, "trace")
        connection.start()
        try:
            await connection.client(CONNECT_S)
            return await use(connection)
        except (nats.errors.Error, Unreachable, TimeoutError) as error:
            problem = error
        finally:
            await connection.close()
    raise Unreachable(f"no NATS server answers: {problem}", hint="tandem status shows the servers")


def nats_accesses() -> list[NatsAccess]:
    """How this computer's operator reaches the NATS servers of the machines that run here."""
    from tandem.cli.local import require_running, statuses
    from tandem.core.paths import Home
    from tandem.fleet.model import InfraPorts
    from tandem.infra import nats_access
    from tandem.security import Authority
    from tandem.security.machine import NODE

    home = Home.from_environment()
    found, failures = statuses(home)
    require_running(found, failures)
    authority = Authority.open(home)
    ports = {
        status.machine: service.port
        for status in found
        for service in status.services
        if service.name == "nats"
    }
    return [
        nats_access(authority.machine(machine), InfraPorts(nats=port, leaf=0, monitor=0, join=0), NODE)
        for machine, port in ports.items()
        if port
    ]
