"""Reading the logs of another computer: what its node answers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tandem.core.errors import InvalidArguments
from tandem.core.paths import Home
from tandem.supervise import remote_logs
from tandem.supervise.log_reader import Line
from tandem.supervise.remote_logs import LogFilter, LogQuestion, LogService


class NoConnection:
    def listen(self, _listener: object) -> None: ...


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    for machine in ("here", "other"):
        home.machine(machine).logs.mkdir(parents=True)
    return home


def service(home: Home) -> LogService:
    nothing: Any = NoConnection()
    return LogService(nothing, home, "here")


def write(home: Home, machine: str, agent: str, *lines: tuple[int, str, str]) -> None:
    with (home.machine(machine).logs / f"{agent}.log").open("a") as file:
        for second, level, text in lines:
            file.write(f'{{"ts":"2024-01-01T00:00:{second:02}.000Z","level":"{level}","agent":"{agent}","msg":"{text}"}}\n')


def texts(lines: list[Line]) -> list[str]:
    return [line.text.split('"msg":"')[1].split('"')[0] for line in lines]


def test_only_its_own_machine_is_read(home: Home) -> None:
    """A node answers for its machine, not for others that happen to share its home."""
    write(home, "here", "A", (1, "INFO", "mine"))
    write(home, "other", "A", (2, "INFO", "not mine"))
    answer = service(home).answer(LogQuestion())
    assert texts(answer.lines) == ["mine"]
    assert answer.known == ["A", "A@here"]


def test_the_newest_lines_that_pass_are_given(home: Home) -> None:
    """Level, expression, names, time and number narrow what travels."""
    write(home, "here", "A", (1, "ERROR", "old boom"), (2, "INFO", "calm"), (3, "ERROR", "boom"), (4, "ERROR", "boom 2"))
    write(home, "here", "B", (3, "ERROR", "boom of B"))
    question = LogQuestion(
        names=["A"], earliest="2024-01-01T00:00:02.000Z", passing=LogFilter(level="warning", grep="boom"), lines=1
    )
    assert texts(service(home).answer(question).lines) == ["boom 2"]


def test_who_asks_again_under_its_mark_gets_what_is_new(home: Home) -> None:
    """Nothing twice and nothing left out; another mark begins from the start."""
    write(home, "here", "A", (1, "INFO", "one"))
    asked = service(home)
    assert texts(asked.answer(LogQuestion(mark="m")).lines) == ["one"]
    assert asked.answer(LogQuestion(mark="m")).lines == []
    write(home, "here", "A", (2, "INFO", "two"))
    assert texts(asked.answer(LogQuestion(mark="m")).lines) == ["two"]
    assert texts(asked.answer(LogQuestion(mark="n")).lines) == ["one", "two"]


def test_an_answer_stays_below_the_servers_limit(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest lines win, and those that did not fit are counted."""
    monkeypatch.setattr(remote_logs, "ANSWER_BYTES", 1000)
    write(home, "here", "A", *((second, "INFO", f"line {second}") for second in range(50)))
    answer = service(home).answer(LogQuestion())
    assert 0 < len(answer.lines) < 10
    assert texts(answer.lines)[-1] == "line 49"
    assert answer.left_out == 50 - len(answer.lines)


@pytest.mark.parametrize("wrong", [LogFilter(grep="("), LogFilter(level="loud")])
def test_a_filter_that_cannot_be_is_refused(wrong: LogFilter) -> None:
    """A wrong expression or level says which it is."""
    with pytest.raises(InvalidArguments, match=r"--grep|--level"):
        wrong.compiled()
