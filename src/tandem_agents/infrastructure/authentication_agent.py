"""Knows people: accounts, logins, sessions."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from msgspec import Struct

from tandem.agent import Agent, action
from tandem.core import clock
from tandem.core.errors import InvalidArguments, Overloaded, PermissionDenied
from tandem_agents.infrastructure.accounts import AccountBook
from tandem_agents.infrastructure.contracts import Identified, LoggedIn
from tandem_agents.storage import Worker

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]{0,63}")
MAX_PASSWORD = 1024
FREE_ATTEMPTS = 5
FIRST_PAUSE_S, LONGEST_PAUSE_S = 1.0, 300.0
REMEMBERED_NAMES = 10_000
WAITING = 16
"""Passwords being judged or waiting for it; a hash takes long on purpose, so a crowd is turned away."""


class _Failures(Struct):
    count: int = 0
    until: float = 0.0


class AuthenticationAgent(Agent):
    """Registers people, lets them in with their password, and tells whose token it is.

    This is about people only: agents prove who they are by their own keys. A token is a session of 24 hours that ends
    with its logout or a new password, also across restarts.
    """

    class Settings(Struct, frozen=True, forbid_unknown_fields=True):
        shortest_password: int = 10

    settings: Settings

    async def start(self) -> None:
        self._worker = Worker("accounts")
        self._book = await self._worker(AccountBook, self.state_dir / "accounts.db", self.epoch)
        self._failures: OrderedDict[str, _Failures] = OrderedDict()
        self._waiting = 0

    async def stop(self) -> None:
        await self._worker(self._book.close)
        self._worker.close()

    @action
    async def register(self, user: str, password: str) -> None:
        """A new account. Raises :class:`InvalidArguments` for a name that is taken or odd, or a weak password."""
        if not _NAME.fullmatch(user):
            raise InvalidArguments("a user's name is a letter and up to 63 letters, digits, dots, - or _")
        self._check(user, password)
        await self._slowly(self._book.register, user.lower(), password, clock.wall())
        self.log.info("registered %s", user)

    @action
    async def login(self, user: str, password: str) -> LoggedIn:
        """A session. Raises :class:`PermissionDenied`, and :class:`Overloaded` after too many wrong passwords."""
        name = user.lower()[:64]
        self._check_pause(name)
        try:
            session = await self._slowly(self._book.log_in, name, password[: MAX_PASSWORD + 1], clock.wall())
        except PermissionDenied:
            self._failed(name)
            raise
        self._failures.pop(name, None)
        return session

    @action(idempotent=True)
    async def logout(self, token: str) -> bool:
        """End a session; whether there was one."""
        return await self._worker(self._book.log_out, token)

    @action(idempotent=True)
    async def validate_token(self, token: str) -> Identified:
        """Whose session it is. Raises :class:`PermissionDenied` when it has ended or never was."""
        return await self._worker(self._book.validate, token, clock.wall())

    @action
    async def change_password(self, user: str, password: str, new_password: str) -> None:
        """Replace a password; every session of the user ends. Raises as ``login`` and ``register`` do."""
        self._check(user, new_password)
        session = await self.login(user, password)
        await self._slowly(self._book.change_password, session.user, new_password)

    def _check(self, user: str, password: str) -> None:
        if not self.settings.shortest_password <= len(password) <= MAX_PASSWORD:
            raise InvalidArguments(f"a password has {self.settings.shortest_password} to {MAX_PASSWORD} characters")
        if password.lower() == user.lower() or len(set(password)) < 4:
            raise InvalidArguments("that password is too easy to guess")

    async def _slowly(self, work: Callable[..., T], *values: object) -> T:
        if self._waiting >= WAITING:
            raise Overloaded("too many people log in at once")
        self._waiting += 1
        try:
            return await self._worker(work, *values)
        finally:
            self._waiting -= 1

    def _check_pause(self, name: str) -> None:
        failures = self._failures.get(name)
        left = failures.until - clock.monotonic() if failures is not None else 0.0
        if left > 0:
            raise Overloaded("too many wrong passwords for this name", hint=f"try again in {left:.0f} s")

    def _failed(self, name: str) -> None:
        """After some free attempts each further one waits twice as long, whether or not there is such a user."""
        failures = self._failures.setdefault(name, _Failures())
        self._failures.move_to_end(name)
        if len(self._failures) > REMEMBERED_NAMES:
            self._failures.popitem(last=False)
        failures.count += 1
        excess = failures.count - FREE_ATTEMPTS
        if excess >= 0:
            failures.until = clock.monotonic() + min(FIRST_PAUSE_S * 2.0 ** min(excess, 30), LONGEST_PAUSE_S)
