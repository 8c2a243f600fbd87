"""Agents that misbehave on demand: a file named after the misdeed in their state directory asks for it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time

from msgspec import Struct

from tandem.agent import Agent, Event, action, every, on
from tandem.api import IncidentHub

SLEEP = [sys.executable, "-c", "import time; time.sleep(600)"]


async def asked(agent: Agent) -> None:
    """Return once somebody asks for the misdeed."""
    wish = agent.state_dir / "take"
    while not wish.exists():  # noqa: ASYNC110 - the wish comes from another process
        await asyncio.sleep(0.05)
    wish.unlink()


class Ticked(Event, topic="chaos.ticked"):
    """A half second is over."""

    number: int


class Good(Agent):
    """Starts and serves."""


class Talker(Agent):
    """Counts aloud, five times a second."""

    async def start(self) -> None:
        self.spawn(self._count())

    async def _count(self) -> None:
        number = 0
        while True:
            number += 1
            self.log.info("number %d", number)
            await asyncio.sleep(0.2)


class Hog(Agent):
    """Takes memory, and keeps it, once asked to."""

    class Settings(Struct):
        mib: int = 300

    async def start(self) -> None:
        self.spawn(self._take())

    async def _take(self) -> None:
        await asked(self)
        self.taken = bytearray(b"x") * (self.settings.mib * 1024 * 1024)


class Bomb(Agent):
    """Makes processes as fast as it can, a bounded number for the sake of the computer it runs on."""

    async def start(self) -> None:
        self.spawn(self._explode())

    async def _explode(self) -> None:
        await asked(self)
        for _ in range(60):
            await asyncio.create_subprocess_exec(*SLEEP)


class Burner(Agent):
    """Computes without an end in a child, beside serving, as long as it is asked to."""

    async def start(self) -> None:
        self.spawn(self._burn())

    async def _burn(self) -> None:
        await asked(self)
        burner = await asyncio.create_subprocess_exec(sys.executable, "-c", "while True: pass")
        await asked(self)
        burner.kill()
        await burner.wait()


class Blocker(Agent):
    """Blocks its event loop once asked to."""

    async def start(self) -> None:
        self.spawn(self._block())

    async def _block(self) -> None:
        await asked(self)
        endless_computation()


def endless_computation() -> None:
    time.sleep(600)


class Sickly(Agent):
    """Dies moments after it was ready, as long as it is ill."""

    async def start(self) -> None:
        self.spawn(self._ail())

    async def _ail(self) -> None:
        illness = self.state_dir / "ill"
        while not illness.exists():  # noqa: ASYNC110 - illness comes from another process
            await asyncio.sleep(0.05)
        os._exit(3)


class ObservabilityHub(IncidentHub):
    """The fleet's incidents."""


class Echo(Agent):
    """Says what it is told."""

    @action(idempotent=True)
    async def echo(self, text: str) -> str:
        return text


class Asker(Agent):
    """Leans on Echo, and counts what happens."""

    ticks = 0
    heard = 0

    @action(idempotent=True)
    async def ask(self, text: str) -> str:
        answer: str = await self.peer("Echo").echo(text=text)
        return answer

    @action(idempotent=True)
    async def counts(self) -> list[int]:
        return [self.ticks, self.heard]

    @every(seconds=0.5)
    async def tick(self) -> None:
        self.ticks += 1
        await self.publish(Ticked(number=self.ticks))

    @on(Ticked)
    async def hear(self, event: Ticked) -> None:
        self.heard += 1


class Slow(Agent):
    """Takes longer to start than it is given, and says so."""

    async def start(self) -> None:
        self.starting("loading what it needs", seconds=60)
        await asyncio.sleep(10)


class Stuck(Agent):
    """Never comes to the end of its start."""

    async def start(self) -> None:
        await asyncio.sleep(3600)


class Lingerer(Agent):
    """Takes its time to end: until it may."""

    async def stop(self) -> None:
        while not (self.state_dir / "may-end").exists():  # noqa: ASYNC110 - the leave comes from another process
            await asyncio.sleep(0.05)


class Speaker(Agent):
    """Says what its environment holds."""

    @action(idempotent=True)
    async def word(self, name: str) -> str:
        return os.environ.get(name, "nothing")


class Foreman(Agent):
    """Starts one long job in a session of its own, once in its life, and writes its pid down."""

    async def start(self) -> None:
        note = self.state_dir / "job"
        if not note.exists():
            job = subprocess.Popen(SLEEP, start_new_session=True)  # noqa: ASYNC220 - it takes a millisecond
            note.write_text(str(job.pid))
