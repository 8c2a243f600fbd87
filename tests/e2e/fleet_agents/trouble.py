"""Agents that misbehave, each in one way."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterable

from tandem.agent import Agent, Issue, action


class NeverReady(Agent):
    """Starts for ever."""

    async def start(self) -> None:
        await asyncio.Event().wait()


class DiesAtOnce(Agent):
    """Ends before it is ready, without a word to anybody but its log."""

    async def start(self) -> None:
        print("out of cheese", file=sys.stderr, flush=True)
        os._exit(3)


class RaisesAtStart(Agent):
    """Has a reason not to start."""

    async def start(self) -> None:
        raise RuntimeError("no cheese today")


class Unwell(Agent):
    """Serves, and says what it lacks."""

    async def check(self) -> Iterable[Issue]:
        return [Issue("the cheese is missing", fix="buy cheese", blocking=True)]


class IgnoresTerm(Agent):
    """Does not go when asked to."""

    async def start(self) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class Forks(Agent):
    """Has children: one in its process group, one that went its own way, both deaf to TERM."""

    async def start(self) -> None:
        deaf = (
            "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); signal.pause()"
        )
        self._children = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-c", deaf, stdout=asyncio.subprocess.PIPE, start_new_session=alone
            )
            for alone in (False, True)
        ]
        for child in self._children:
            assert child.stdout is not None
            await child.stdout.readline()

    @action(idempotent=True)
    async def children(self) -> list[int]:
        return [child.pid for child in self._children]
