"""People's accounts in a running fleet."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from fleets import fleet_of
from household import Household, MakeHousehold, contents, eventually

from tandem.core.errors import PermissionDenied
from tandem_agents.infrastructure.contracts import Accounts, LoggedIn

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

FLEET = "AuthenticationAgent: {class: tandem_agents.infrastructure.authentication_agent:AuthenticationAgent}"
PASSWORD = "plum-Cobalt-77-heron"


def test_auth_flow(make_household: MakeHousehold) -> None:
    """Register, log in, be known by the token, also after kill -9; log out; nothing on disk or in a log tells the password."""
    household = make_household(fleet_of(FLEET))
    household.up()
    session = asyncio.run(_log_in(household))
    pid = household.agent("AuthenticationAgent")["pid"]
    os.kill(pid, signal.SIGKILL)
    eventually(lambda: household.agent("AuthenticationAgent")["pid"] not in (pid, None), "a new instance")
    asyncio.run(_come_back(household, session))
    for path, data in contents(household.home.root):
        assert PASSWORD.encode() not in data and session.token.encode() not in data, path


async def _log_in(household: Household) -> LoggedIn:
    async with household.connected() as connection:
        door = connection.peer(Accounts)
        await door.register("ana", PASSWORD)
        with pytest.raises(PermissionDenied):
            await door.login("ana", "not her password")
        session = await door.login("ana", PASSWORD)
        assert (await door.validate_token(session.token)).user == "ana"
        return session


async def _come_back(household: Household, session: LoggedIn) -> None:
    async with household.connected() as connection:
        door = connection.peer(Accounts)
        assert (await door.validate_token(session.token)).user == "ana"
        assert await door.logout(session.token)
        with pytest.raises(PermissionDenied):
            await door.validate_token(session.token)
