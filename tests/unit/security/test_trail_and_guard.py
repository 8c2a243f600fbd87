"""Who is let in, what is noted of the others, and how a revocation is noticed."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from tandem.core import clock
from tandem.core.errors import PermissionDenied
from tandem.core.paths import Home
from tandem.security import Authority, EpochFile, Guard, Principal, Throttle, Trail, Verifier, concerns
from tandem.security import trail as trails

AGENT = Principal("NLUAgent@mainpc", "agent")
OPERATOR = Principal("operator", "operator")
USER = Principal("ana", "user")
NODE = Principal("node@mainpc", "node")


@pytest.mark.parametrize(
    ("allowed", "let_in"),
    [
        ([], {AGENT, OPERATOR, USER, NODE}),
        (["NLUAgent@mainpc"], {AGENT, NODE}),
        (["NLUAgent@pc2"], {NODE}),
        (["operator"], {OPERATOR, NODE}),
        (["user", "operator"], {OPERATOR, USER, NODE}),
        (["ana"], {NODE}),
    ],
)
def test_a_guard_lets_in_whom_the_fleet_file_names(allowed: list[str], let_in: set[Principal]) -> None:
    """Nobody named lets everybody in; otherwise only the named agents, the operator or users, and the node."""
    guard = Guard("MemoryClient@mainpc", allowed)
    for caller in (AGENT, OPERATOR, USER, NODE):
        if caller in let_in:
            guard(caller, "recall")
        else:
            with pytest.raises(PermissionDenied, match="may not call recall"):
                guard(caller, "recall")


def test_everybody_may_ask_how_an_agent_is() -> None:
    """Health, description and metrics stay open: hubs watch agents that let in hardly anybody."""
    guard = Guard("MemoryClient@mainpc", ["operator"])
    for action in ("health_check", "ping", "describe", "metrics"):
        guard(AGENT, action)
    with pytest.raises(PermissionDenied):
        guard(AGENT, "settings")


def test_an_agent_cannot_pass_for_a_person() -> None:
    """An agent is let in by its full identity only, even when it bears the name of a kind of person."""
    guard = Guard("MemoryClient@mainpc", ["operator"])
    with pytest.raises(PermissionDenied):
        guard(Principal("operator@pc2", "agent"), "recall")


def test_a_trail_is_read_as_it_was_written(tmp_path: Path) -> None:
    """Records come back in order with their fields, private on disk, and without what looks like a credential."""
    trail = Trail(tmp_path / "security.jsonl")
    trail.record("denied", by="A@m", subject="B@m:x", detail="password=hunter2hunter2", times=3)
    trail.record("revoked", by="operator", subject="A@m")
    first, second = trail.read()
    assert (first.event, first.by, first.subject, first.times) == ("denied", "A@m", "B@m:x", 3)
    assert "hunter2" not in first.detail
    assert (second.event, second.detail) == ("revoked", "")
    assert list(trail.read(since=clock.wall() + 60)) == []
    assert (tmp_path / "security.jsonl").stat().st_mode & 0o777 == 0o600


def test_a_trail_stays_bounded_and_survives_many_writers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writers at once lose no line until a file is put aside; two files of bounded size remain."""
    trail = Trail(tmp_path / "security.jsonl")
    writers = [
        threading.Thread(target=lambda n=n: [trail.record("denied", by=f"{n}-{i}") for i in range(50)]) for n in range(4)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert {record.by for record in trail.read()} == {f"{n}-{i}" for n in range(4) for i in range(50)}
    monkeypatch.setattr(trails, "MAX_BYTES", 2000)
    for number in range(200):
        trail.record("denied", by=str(number))
    assert list(trail.read())[-1].by == "199"
    assert sum(path.stat().st_size for path in tmp_path.glob("*.jsonl*")) < 6000


def test_a_broken_line_and_a_full_disk_do_no_harm(tmp_path: Path) -> None:
    """A line cut short by a crash is skipped, and a place that takes no data stops nobody."""
    path = tmp_path / "security.jsonl"
    trail = Trail(path)
    trail.record("denied", by="before")
    with path.open("ab") as file:
        file.write(b'{"at": 1, "eve\n')
    trail.record("denied", by="after")
    assert [record.by for record in trail.read()] == ["before", "after"]
    Trail(tmp_path / "missing" / "security.jsonl").record("denied")


def test_a_flood_becomes_one_record_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first of a kind is told at once, those of the same second are counted into the next one, kinds apart."""
    now = 100.0
    monkeypatch.setattr(clock, "monotonic", lambda: now)
    throttle = Throttle()
    assert throttle.due("a") == 1
    assert [throttle.due("a") for _ in range(10)] == [0] * 10
    assert throttle.due("b") == 1
    now = 101.5
    assert throttle.due("a") == 11
    for kind in range(5000):
        throttle.due(str(kind))
    assert len(throttle._kinds) == Throttle.KINDS_MAX


def test_what_goes_on_all_day_is_told_ever_more_rarely(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a longest pause the records of one kind become rarer up to that, none of it uncounted; after a calm it is news again."""
    now = [0.0]
    monkeypatch.setattr(clock, "monotonic", lambda: now[0])
    throttle, told = Throttle(60.0), {}
    for second in range(0, 3600, 3):
        now[0] = second
        if times := throttle.due("knock", times=10):
            told[second] = times
    assert list(told)[:4] == [0, 3, 6, 12] and len(told) < 70
    assert 12_000 - 60 * 10 <= sum(told.values()) <= 12_000
    now[0] += 121
    throttle.due("knock")
    now[0] += 1
    assert throttle.due("knock") == 1


def test_a_revocation_is_news_once(tmp_path: Path) -> None:
    """The file is nothing, then news, then nothing again until it changes; its content proves itself."""
    authority = Authority.open(Home(tmp_path))
    file, verifier = EpochFile(authority.epochs_file), Verifier(authority.ca_public)
    assert file.news() == ""
    authority.revoke("A@m")
    assert verifier.learn(file.news()) == ["A@m"]
    assert file.news() == ""
    authority.revoke("pc2")
    assert verifier.learn(file.news()) == ["pc2"]
    before = authority.epochs_file.stat()
    os.utime(authority.epochs_file, ns=(before.st_atime_ns, before.st_mtime_ns + 1))
    assert verifier.learn(file.news()) == []


def test_whom_a_revocation_concerns() -> None:
    """An agent by its name, a machine all of its agents and every person, the operator only itself."""
    assert concerns("A@m", "A@m", agent=True)
    assert not concerns("A@m", "B@m", agent=True)
    assert concerns("m", "B@m", agent=True)
    assert not concerns("m", "B@n", agent=True)
    assert concerns("m", "operator", agent=False)
    assert concerns("operator", "operator", agent=False)
    assert not concerns("operator", "ana", agent=False)
