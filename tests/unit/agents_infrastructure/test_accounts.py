"""People's accounts: who is let in, for how long, and what is on the disk."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tandem.agent.testing import Member, fleet_of, virtual_time
from tandem.core.errors import InvalidArguments, Overloaded, PermissionDenied
from tandem_agents.infrastructure import accounts
from tandem_agents.infrastructure.accounts import SESSION_S, SESSIONS_PER_USER, AccountBook, is_outdated
from tandem_agents.infrastructure.authentication_agent import FREE_ATTEMPTS, AuthenticationAgent
from tandem_agents.infrastructure.contracts import Accounts

PASSWORD = "correct horse battery"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same algorithm with less work: hundreds of hashes are made here."""
    monkeypatch.setattr(accounts, "LOG_N", 4)


@pytest.fixture
def book(tmp_path: Path) -> AccountBook:
    return AccountBook(tmp_path / "a.db")


def test_a_login_outlives_a_restart_and_a_logout_does_not_come_back(book: AccountBook, tmp_path: Path) -> None:
    """A session is valid in a second opening of the file, until it is ended there."""
    book.register("ana", PASSWORD, 0.0)
    session = book.log_in("ana", PASSWORD, 10.0)
    book.close()
    again = AccountBook(tmp_path / "a.db")
    assert again.validate(session.token, 11.0).user == "ana"
    assert again.log_out(session.token) and not again.log_out(session.token)
    with pytest.raises(PermissionDenied):
        again.validate(session.token, 12.0)


def test_a_session_ends_by_itself(book: AccountBook) -> None:
    """At 24 hours and not before; a later login clears it away."""
    book.register("ana", PASSWORD, 0.0)
    token = book.log_in("ana", PASSWORD, 0.0).token
    assert book.validate(token, SESSION_S - 1).expires == SESSION_S
    with pytest.raises(PermissionDenied):
        book.validate(token, SESSION_S)


def test_wrong_name_and_wrong_password_look_the_same(book: AccountBook) -> None:
    """Neither the words nor the work tell whether a user exists."""
    book.register("ana", PASSWORD, 0.0)
    said = []
    for name, password in (("ana", "wrong"), ("ben", PASSWORD), ("ana", ""), ("", "")):
        with pytest.raises(PermissionDenied) as caught:
            book.log_in(name, password, 0.0)
        said.append(str(caught.value))
    assert len(set(said)) == 1


def test_nothing_on_disk_lets_anybody_in(book: AccountBook, tmp_path: Path) -> None:
    """The files hold neither a password nor a token, and equal passwords look different."""
    for name in ("ana", "ben"):
        book.register(name, PASSWORD, 0.0)
    token = book.log_in("ana", PASSWORD, 0.0).token
    hashes = [row["password"] for row in book._database.rows("SELECT password FROM accounts")]
    assert len(set(hashes)) == 2
    data = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert PASSWORD.encode() not in data and token.encode() not in data


def test_hashes_keep_up_with_the_times(book: AccountBook, monkeypatch: pytest.MonkeyPatch) -> None:
    """A hash made with less work is accepted and replaced at the next login."""
    book.register("ana", PASSWORD, 0.0)
    monkeypatch.setattr(accounts, "LOG_N", 5)
    book.log_in("ana", PASSWORD, 0.0)
    assert not is_outdated(book._database.rows("SELECT password FROM accounts")[0]["password"])
    assert book.log_in("ana", PASSWORD, 0.0).user == "ana"


def test_sessions_of_one_user_are_bounded(book: AccountBook) -> None:
    """The oldest sessions end when there are too many; another user's stay."""
    for name in ("ana", "ben"):
        book.register(name, PASSWORD, 0.0)
    bens = book.log_in("ben", PASSWORD, 0.0).token
    tokens = [book.log_in("ana", PASSWORD, float(number)).token for number in range(SESSIONS_PER_USER + 3)]
    for token in tokens[:3]:
        with pytest.raises(PermissionDenied):
            book.validate(token, 100.0)
    assert {book.validate(token, 100.0).user for token in tokens[3:]} == {"ana"}
    assert book.validate(bens, 100.0).user == "ben"


async def _wrong(door: Accounts, user: str) -> type[Exception]:
    with pytest.raises((PermissionDenied, Overloaded)) as caught:
        await door.login(user, "not the password")
    return caught.type


@virtual_time
async def test_guessing_gets_slower_and_slower() -> None:
    """After some free attempts a name is shut for a time that doubles, for the right password too; others are not."""
    async with fleet_of(Member(AuthenticationAgent)) as fleet:
        door = fleet.peer(Accounts)
        await door.register("Ana", PASSWORD)
        await door.register("ben", PASSWORD)
        assert [await _wrong(door, "ana") for _ in range(FREE_ATTEMPTS)] == [PermissionDenied] * FREE_ATTEMPTS
        assert await _wrong(door, "ana") is Overloaded
        with pytest.raises(Overloaded, match="too many wrong"):
            await door.login("ana", PASSWORD)
        assert (await door.login("ben", PASSWORD)).user == "ben"
        await asyncio.sleep(1.1)
        assert (await door.login("ANA", PASSWORD)).user == "ana"
        assert await _wrong(door, "ana") is PermissionDenied


@virtual_time
async def test_a_new_password_ends_every_session() -> None:
    """Old sessions and the old password are of no use after a change."""
    async with fleet_of(Member(AuthenticationAgent)) as fleet:
        door = fleet.peer(Accounts)
        await door.register("ana", PASSWORD)
        session = await door.login("ana", PASSWORD)
        await door.change_password("ana", PASSWORD, "another good one")
        for attempt in (door.validate_token(session.token), door.login("ana", PASSWORD)):
            with pytest.raises(PermissionDenied):
                await attempt
        assert (await door.login("ana", "another good one")).user == "ana"


@pytest.mark.parametrize(
    ("user", "password"),
    [("", PASSWORD), ("1ana", PASSWORD), ("a b", PASSWORD), ("a" * 65, PASSWORD), ("ana", "short"), ("ana", "x" * 2000),
     ("ana", "aaaaaaaaaaaaaa"), ("correct-horse", "Correct-Horse")],
)  # fmt: skip
def test_what_is_no_account(user: str, password: str) -> None:
    """Odd names, and passwords that are short, huge, monotonous or the name itself, are refused."""

    @virtual_time
    async def attempt() -> None:
        async with fleet_of(Member(AuthenticationAgent)) as fleet:
            with pytest.raises(InvalidArguments):
                await fleet.peer(Accounts).register(user, password)

    attempt()


@virtual_time
async def test_a_name_is_taken_once() -> None:
    """Nobody takes over an account by registering it again, in whatever case."""
    async with fleet_of(Member(AuthenticationAgent)) as fleet:
        door = fleet.peer(Accounts)
        await door.register("ana", PASSWORD)
        with pytest.raises(InvalidArguments, match="already"):
            await door.register("ANA", "something else")
        assert (await door.login("ana", PASSWORD)).user == "ana"
