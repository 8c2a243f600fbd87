"""The shared vocabulary: errors on the wire, budgets, identifiers, health words, directories."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tandem.core import errors
from tandem.core.deadline import (
    DEFAULT_BUDGET_S,
    Deadline,
    current_deadline,
    deadline_scope,
    effective_deadline,
)
from tandem.core.health import Issue, Status, judge, parse_status
from tandem.core.ids import AgentId, new_id
from tandem.core.paths import Home, check_socket_path, private_dir


def all_errors() -> list[type[errors.TandemError]]:
    return [cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, errors.TandemError)]


@pytest.mark.parametrize("cls", all_errors())
def test_error_survives_the_wire(cls: type[errors.TandemError]) -> None:
    """An error rebuilt from its code is the same class with the same words."""
    back = errors.error_from_wire(cls.code, "what", "do this", {"line": 3})

    assert type(back) is cls
    assert (back.message, back.hint, back.details) == ("what", "do this", {"line": 3})


def test_error_codes_are_unique() -> None:
    """No two error classes share a code, so a code names one class."""
    codes = [cls.code for cls in all_errors()]

    assert len(codes) == len(set(codes))


def test_unknown_error_code_is_still_an_error() -> None:
    """A newer peer's unknown error code becomes the base class instead of a failure to decode."""
    assert type(errors.error_from_wire("from_the_future", "x")) is errors.TandemError


def test_deadline_without_anything_is_the_default_budget() -> None:
    """A call with neither timeout nor caller gets the default budget."""
    assert effective_deadline(None).remaining() == pytest.approx(DEFAULT_BUDGET_S, abs=1)


def test_inherited_deadline_caps_a_longer_timeout() -> None:
    """A handler cannot give its own calls more time than its caller left it."""
    inherited = Deadline.after(60)
    with deadline_scope(inherited):
        assert effective_deadline(600) is inherited
        assert effective_deadline(None) is inherited
        assert effective_deadline(0.1).at < inherited.at
    assert current_deadline() is None


def test_spent_deadline_refuses_work() -> None:
    """Work that needs a budget is refused by name once it is spent."""
    with pytest.raises(errors.DeadlineExceeded, match="looking up tea"):
        Deadline.after(-1).require("looking up tea")
    assert Deadline.after(-1).remaining_ms() == 0


def test_ids_sort_by_time_and_never_repeat() -> None:
    """Identifiers made one after another are distinct and their time part does not decrease."""
    made = [new_id() for _ in range(2000)]

    assert len(set(made)) == len(made)
    assert [i[:10] for i in made] == sorted(i[:10] for i in made)
    assert all(len(i) == 26 for i in made)


@given(st.from_regex(r"[A-Za-z]\w{0,20}", fullmatch=True), st.from_regex(r"[a-z]\w{0,10}", fullmatch=True))
def test_agent_id_splits_into_what_it_was_made_of(name: str, machine: str) -> None:
    """``Name@machine`` gives both parts back; a bare name has an empty machine."""
    whole = AgentId.of(name, machine)

    assert (whole.name, whole.machine) == (name, machine)
    assert (AgentId(name).name, AgentId(name).machine) == (name, "")


@pytest.mark.parametrize(
    ("issues", "expected"),
    [
        ([], Status.HEALTHY),
        ([Issue("slow")], Status.DEGRADED),
        ([Issue("slow"), Issue("no model", blocking=True)], Status.UNHEALTHY),
    ],
)
def test_health_follows_the_worst_issue(issues: list[Issue], expected: Status) -> None:
    """One blocking issue makes unhealthy, any other issue degraded, none healthy."""
    assert judge(issues) is expected


def test_old_dialects_are_understood() -> None:
    """``ok`` of old agents counts as healthy; an unknown word is an error, not a guess."""
    assert parse_status(" OK ") is Status.HEALTHY
    assert parse_status("degraded") is Status.DEGRADED
    with pytest.raises(ValueError, match="fine"):
        parse_status("fine")


def test_homes_do_not_share_socket_directories(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two homes have different run directories, so two fleets live side by side."""
    monkeypatch.delenv("TANDEM_RUN_DIR", raising=False)
    first, second = Home(Path("/a")), Home(Path("/b"))

    assert first.run_root() != second.run_root()
    assert first.machine("mainpc").run != first.machine("pc2").run


def test_home_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """TANDEM_HOME wins over XDG_DATA_HOME."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("TANDEM_HOME", raising=False)
    assert Home.from_environment().root == tmp_path / "xdg" / "tandem"

    monkeypatch.setenv("TANDEM_HOME", str(tmp_path / "mine"))
    assert Home.from_environment().root == tmp_path / "mine"


def test_socket_path_limit_is_the_kernels() -> None:
    """107 bytes pass, 108 are refused with the advice that helps."""
    assert check_socket_path(Path("/" + "x" * 106))
    with pytest.raises(errors.ConfigError, match="TANDEM_RUN_DIR"):
        check_socket_path(Path("/" + "x" * 107))


def test_private_dir_is_private(tmp_path: Path) -> None:
    """A directory for sockets and keys is readable by its owner only."""
    made = private_dir(tmp_path / "deep" / "run")

    assert made.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.getuid() != 0, reason="only root can make a directory that belongs to somebody else")
def test_private_dir_of_somebody_else_is_refused(tmp_path: Path) -> None:
    """A directory another user owns is refused, since they could put their own sockets in it."""
    theirs = tmp_path / "theirs"
    theirs.mkdir()
    os.chown(theirs, 12345, 12345)

    with pytest.raises(errors.ConfigError, match="another user"):
        private_dir(theirs)
