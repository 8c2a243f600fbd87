"""A hub's line to the node of its own machine, without blocking its loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec

from tandem.core.errors import Unavailable, Unreachable
from tandem.core.paths import MachineDirs
from tandem.supervise import api
from tandem.supervise.node_client import why_unreachable
from tandem.supervise.wire import Frames, encode_frame

STATUS_S = 10.0
ORDER_S = 90.0
"""How long an order may take; a start waits for what the agent needs."""

_READ = 1 << 18
_decode = msgspec.msgpack.Decoder(api.AnyAnswer).decode


async def ask_status(dirs: MachineDirs, machine: str) -> api.MachineStatus:
    """The node's whole picture. Raises :class:`Unreachable` or :class:`PermissionDenied`, saying which case it is."""
    answer = await _final(dirs, machine, api.AskStatus(), STATUS_S)
    if not isinstance(answer, api.MachineStatus):
        raise Unreachable(f"the node of {machine} gave no status")
    return answer


async def moves(dirs: MachineDirs, machine: str) -> AsyncIterator[None]:
    """Something of the machine has moved; ends when the node goes away. Raises as :func:`ask_status` does."""
    async for answer in _converse(dirs, machine, api.AskMoves()):
        if isinstance(answer, api.Moved):
            yield


async def order(dirs: MachineDirs, machine: str, verb: api.Verb, agents: list[str]) -> list[api.AgentView]:
    """Start, stop or restart agents (identities on this machine) and wait until they are there.

    Raises what :func:`ask_status` does, and :class:`Unavailable` with the node's reason.
    """
    answer = await _final(dirs, machine, api.Order(verb=verb, agents=agents), ORDER_S)
    if isinstance(answer, api.Refused):
        raise Unavailable(answer.message, hint=answer.hint or None)
    return answer.views if isinstance(answer, api.Done) else []


async def mend(dirs: MachineDirs, machine: str, verb: api.Verb, agents: list[str]) -> api.Done:
    """As :func:`order`, on behalf of nobody: agents the operator has stopped are left out, whatever is asked for."""
    answer = await _final(dirs, machine, api.Order(verb=verb, agents=agents, spare_stopped=True), ORDER_S)
    if isinstance(answer, api.Refused):
        raise Unavailable(answer.message, hint=answer.hint or None)
    return answer if isinstance(answer, api.Done) else api.Done()


async def _final(dirs: MachineDirs, machine: str, question: api.AnyQuestion, limit_s: float) -> api.AnyAnswer:
    try:
        async with asyncio.timeout(limit_s):
            async for answer in _converse(dirs, machine, question):
                if isinstance(answer, api.MachineStatus | api.Done | api.Refused):
                    return answer
    except TimeoutError:
        raise Unreachable(f"the node of {machine} did not answer within {limit_s:g} s", hint="tandem logs node") from None
    raise Unreachable(f"the node of {machine} went away before it was done", hint="tandem logs node")


async def _converse(dirs: MachineDirs, machine: str, question: api.AnyQuestion) -> AsyncIterator[api.AnyAnswer]:
    try:
        reader, writer = await asyncio.open_unix_connection(str(dirs.node_socket))
    except OSError as error:
        raise why_unreachable(dirs, machine, error) from error
    try:
        writer.write(encode_frame(question))
        frames = Frames()
        while data := await reader.read(_READ):
            for frame in frames.feed(data):
                yield _decode(frame)
    except ConnectionError:
        return
    finally:
        writer.close()
