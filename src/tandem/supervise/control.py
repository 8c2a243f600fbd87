"""The node's ear for the command line: one request a connection, answers until it is done."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Callable
from typing import NoReturn

import msgspec

from tandem.core.errors import TandemError
from tandem.supervise.api import (
    AnyAnswer,
    AnyQuestion,
    AskMoves,
    AskStatus,
    Began,
    BringUp,
    Moved,
    Order,
    Progress,
    Refused,
    TakeDown,
)
from tandem.supervise.descriptors import peer_uid
from tandem.supervise.lifecycle import AgentState
from tandem.supervise.node import Node
from tandem.supervise.rollout_api import AskRelease, Follow, Roll, RolloutView, Steer
from tandem.supervise.runner import Runner
from tandem.supervise.wire import Frames, encode_frame

log = logging.getLogger("tandem.node")

_READ = 256 * 1024

GATHER_S = 0.05
"""Moves of this long are told together; a thousand agents may start at once."""


class ControlServer:
    """Serves on a listening socket the keeper holds, so that requests wait while a node is replaced."""

    def __init__(self, node: Node):
        self._node = node
        self._server: asyncio.Server | None = None
        self._decode = msgspec.msgpack.Decoder(AnyQuestion).decode

    async def listen(self, door: socket.socket) -> None:
        self._server = await asyncio.start_unix_server(self._serve, sock=door)

    def close(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if peer_uid(writer.get_extra_info("socket")) in (os.getuid(), 0):
                await self._converse(reader, writer)
        except (OSError, ValueError, msgspec.DecodeError) as error:
            log.warning("a request was cut short: %s", error)
        finally:
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        frames = Frames()
        while data := await reader.read(_READ):
            for frame in frames.feed(data):
                question = self._decode(frame)
                work = asyncio.create_task(self._answer(question, writer))
                gone = asyncio.create_task(reader.read())
                await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
                # Who asked may hang up: what was ordered still happens, only the telling ends.
                for task in (work, gone):
                    task.cancel()
                await asyncio.gather(work, gone, return_exceptions=True)
                return

    async def _answer(self, question: AnyQuestion, writer: asyncio.StreamWriter) -> None:
        def tell(answer: AnyAnswer) -> None:
            if not writer.is_closing():
                writer.write(encode_frame(answer))

        try:
            tell(await self._do(question, tell))
        except TandemError as error:
            tell(Refused(message=error.message, hint=error.hint or ""))
        except Exception as error:
            log.exception("a request failed")
            tell(
                Refused(message=f"the node failed: {type(error).__name__}: {error}", hint="tandem logs node")
            )
        await writer.drain()
        if isinstance(question, TakeDown):
            self._node.leave()

    async def _do(self, question: AnyQuestion, tell: Callable[[Began | Moved | Progress | RolloutView], None]) -> AnyAnswer:
        match question:
            case AskStatus():
                return self._node.status()
            case AskMoves():
                return await self._tell_moves(tell)
            case BringUp(fleet=fleet, agents=agents):
                return await self._node.bring_up(fleet, agents, tell)
            case Order(verb=verb, agents=agents):
                return await self._node.order(verb, agents, tell, spare_stopped=question.spare_stopped)
            case TakeDown():
                return await self._node.take_down(tell)
            case AskRelease():
                return self._node.release()
            case Roll(plan=plan):
                self._node.rollouts.begin(plan)
            case Steer(verb=verb):
                self._node.rollouts.steer(verb)
                return self._node.release()
            case Follow():
                pass
        await self._node.rollouts.follow(tell)
        return self._node.release()

    async def _tell_moves(self, tell: Callable[[Moved], None]) -> NoReturn:
        moved = asyncio.Event()

        def watch(runner: Runner, before: AgentState) -> None:
            if _seen(runner.state) != _seen(before):
                moved.set()

        unwatch = self._node.supervisor.watch(watch)
        try:
            while True:
                await moved.wait()
                await asyncio.sleep(GATHER_S)
                moved.clear()
                tell(Moved())
        finally:
            unwatch()


def _seen(state: AgentState) -> tuple[object, ...]:
    """What people see of a state; signs of life, which come every second, are no news."""
    return (state.phase, state.goal, state.issues, state.restarts, state.breaker)
