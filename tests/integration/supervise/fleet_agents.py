"""Agents that behave, and agents that do not."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Iterable

from msgspec import Struct

from tandem.agent import Agent, Issue


class Good(Agent):
    """Starts and serves."""

    async def start(self) -> None:
        logging.getLogger("test").info("%s is here", self.name)


class DiesAtOnce(Agent):
    """Fails in its start."""

    async def start(self) -> None:
        raise RuntimeError("cannot open the microphone")


class NeverReady(Agent):
    """Its start does not end."""

    async def start(self) -> None:
        await asyncio.Event().wait()


class DiesLater(Agent):
    """Serves, then exits with a status of its own."""

    class Settings(Struct):
        after_s: float = 0.2
        status: int = 3

    async def start(self) -> None:
        asyncio.get_running_loop().call_later(self.settings.after_s, os._exit, self.settings.status)


class IgnoresTerm(Agent):
    """Does not end when asked to."""

    async def start(self) -> None:
        asyncio.get_running_loop().remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)


class StubbornFamily(Agent):
    """Ends when asked to; its children do not, and one of them has left the session."""

    async def start(self) -> None:
        stay = "import signal; signal.signal(15, signal.SIG_IGN); signal.pause()"
        await asyncio.create_subprocess_exec(sys.executable, "-c", stay)
        await asyncio.create_subprocess_exec(sys.executable, "-c", stay, start_new_session=True)


class Unhappy(Agent):
    """Serves and says what it lacks."""

    async def check(self) -> Iterable[Issue]:
        return [Issue("no microphone", fix="plug one in")]
