"""A person's first hour with the real fleet: type, ask, be remembered, talk, look around, and leave without a trace."""

from __future__ import annotations

import asyncio
import datetime
import os
import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from household import REAL_FLEET, Household, MakeHousehold, eventually
from voices import synthesize, transcribe, write_clip

from tandem.fleet import load
from tandem_agents.engines.audio import read_file, resample

pytestmark = [pytest.mark.e2e, pytest.mark.models, pytest.mark.timeout(400)]

RECORDINGS = Path(os.environ.get("TANDEM_TEST_SPEECH", REAL_FLEET.parents[1] / "shared" / "data" / "speech"))
"""Voices of people, recorded by others; they are no part of the repository."""


@pytest.fixture(scope="module")
def household(make_shared_household: MakeHousehold, default_models: None) -> Household:
    """The real fleet, up."""
    household = make_shared_household(REAL_FLEET)
    said = household.up("--json")
    assert said.json["ok"] is True
    return household


@pytest.fixture(scope="module")
def spoken(household: Household, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A question in the assistant's own voice, with a moment of silence around it."""
    path = tmp_path_factory.mktemp("speech") / "question.wav"
    write_clip(path, asyncio.run(synthesize(household, "What is 17 plus 25?")))
    return path


def test_everything_is_up(household: Household) -> None:
    """Every agent of the fleet file is healthy on its machine and port; both machines and all six servers are there."""
    status = household.status()
    fleet = load(REAL_FLEET).require()
    assert {f"{agent['name']}@{agent['machine']}" for agent in status["agents"]} == set(fleet.agents)
    for agent in status["agents"]:
        config = fleet.agents[f"{agent['name']}@{agent['machine']}"]
        assert agent["state"] == "healthy", agent
        assert agent["group"] == config.group
        assert agent["port"] == (None if config.port is None else config.port + household.offset)
    assert {machine["name"]: machine["state"] for machine in status["machines"]} == {
        "mainpc": "up",
        "pc2": "up",
    }
    services = {(service["name"], service["machine"]): service["state"] for service in status["services"]}
    kinds = ("nats", "valkey-control", "valkey-cache")
    assert services == {(kind, machine): "healthy" for kind in kinds for machine in ("mainpc", "pc2")}


def test_contract_of_ask(household: Household) -> None:
    """``ask --json`` prints answer, intent, turn and seconds by stage."""
    said = household.tandem("ask", "--json", "what", "is", "17", "plus", "25")
    assert said.status == 0
    assert said.json.keys() == {"answer", "intent", "turn", "timings"}
    assert "42" in said.json["answer"]
    assert said.json["turn"]
    assert all(isinstance(seconds, float) and seconds >= 0 for seconds in said.json["timings"].values())
    assert said.json["timings"]["total"] > 0


def test_time_and_date(household: Household) -> None:
    """The time and the date are this computer's."""
    before = now()
    said = household.ask("what time is it")
    times = {moment.strftime("%-I:%M %p") for moment in (before, now())}
    assert any(time in said for time in times), said
    before = now()
    said = household.ask("what's the date today")
    assert any(f"{moment.day}" in said and moment.strftime("%B") in said for moment in (before, now())), said


@pytest.mark.parametrize(
    ("question", "answer"),
    [("what is 12 times 12", "144"), ("how much is 100 divided by 8", "12.5"), ("what is 20% of 50", "10")],
)
def test_sums(household: Household, question: str, answer: str) -> None:
    """Sums are computed, not guessed."""
    assert answer in household.ask(question)


def test_facts(household: Household) -> None:
    """What is to be remembered is recalled in another conversation; what was never said is not made up."""
    household.ask("remember that the boiler code is 4711")
    assert "4711" in household.ask("what is the boiler code?", "--session", "another")
    assert "4711" not in household.ask("what is the alarm code?", "--session", "third")


def test_timers(household: Household) -> None:
    """A timer can be set, listed and cancelled."""
    assert "20 minutes" in household.ask("set a timer for 20 minutes")
    assert "minutes" in household.ask("which timers are running?")
    assert re.search("cancel", household.ask("cancel the timer"), re.IGNORECASE)
    assert re.search(r"\bno\b", household.ask("which timers are running?"), re.IGNORECASE)


def test_ring_that_is_heard(household: Household) -> None:
    """Who stays with ``ask --follow`` reads when a timer rings, whoever set it, until Ctrl-C."""
    listening = household.begin("ask", "--follow", "set a soup timer for 1 second")
    eventually(lambda: "soup timer is up" in listening.out, "the ring")
    household.ask("set a tea timer for 1 second")
    eventually(lambda: "tea timer is up" in listening.out, "the second ring")
    listening.interrupt()
    said = listening.end()
    assert (said.status, said.err) == (130, "Interrupted.\n")


def test_lamp(household: Household) -> None:
    """What it cannot do it says so, instead of pretending."""
    said = household.tandem("ask", "--json", "turn on the lamp").json
    assert re.search(r"can(no|')t|not able|unable|no (lamp|device|way)", said["answer"], re.IGNORECASE), said


def test_stop(household: Household) -> None:
    """ "stop" is obeyed and answered."""
    assert household.tandem("ask", "--json", "stop").json["intent"] == "stop"


def test_open_question(household: Household) -> None:
    """A question no skill answers is answered by the language model, and never with the question's own words."""
    asked = "Why is the sky blue? Answer in one sentence."
    said = household.tandem("ask", "--json", asked).json
    assert said["intent"] == "question", said
    assert set(re.findall(r"\w+", said["answer"].casefold())) - set(re.findall(r"\w+", f"{asked} because".casefold())), said


def test_talk(household: Household, spoken: Path, tmp_path: Path) -> None:
    """A spoken question is heard and answered aloud; the answer's sound says what its text says."""
    out = tmp_path / "answer.wav"
    said = household.tandem("talk", str(spoken), "--out", str(out), "--json")
    assert said.status == 0, said.text
    assert said.json.keys() == {"answer", "intent", "turn", "timings", "transcript", "language"}
    assert "42" in said.json["answer"]
    assert said.json["language"] == "en"
    assert re.search("plus", said.json["transcript"], re.IGNORECASE)
    assert said.json["timings"]["total"] > 0
    heard = asyncio.run(transcribe(household, out))
    assert "42" in heard or "forty" in heard.lower(), heard


@pytest.mark.parametrize(
    ("rate", "channels", "suffix"),
    [(8_000, 2, "wav"), (44_100, 2, "wav"), (48_000, 1, "flac"), (22_050, 1, "mp3")],
)
def test_talk_in_any_format(
    household: Household, spoken: Path, tmp_path: Path, rate: int, channels: int, suffix: str
) -> None:
    """Rate, channels and file format of the recording do not matter."""
    sound = resample(read_file(spoken), rate)
    path = tmp_path / f"question.{suffix}"
    soundfile.write(path, np.stack([sound.samples] * channels, axis=1), rate)
    said = household.tandem("talk", str(path), "--json")
    assert said.status == 0, said.text
    assert "42" in said.json["answer"], said.json


@pytest.mark.parametrize(
    ("words", "intent", "answer"),
    [
        ("Turn on the lamp.", "device", r"lamp"),
        ("Play the Beatles.", "device", r"can(no|')t|not able"),
        ("What is the date today?", "date", r"\d"),
        ("Set a timer for ten minutes.", "set_timer", r"(10|ten) minutes"),
        ("Which timers are running?", "list_timers", r"timer"),
    ],
)
def test_spoken_requests(household: Household, tmp_path: Path, words: str, intent: str, answer: str) -> None:
    """What is said aloud is understood and treated as if it had been typed."""
    path = tmp_path / "request.wav"
    write_clip(path, asyncio.run(synthesize(household, words)))
    said = household.tandem("talk", str(path), "--json")
    assert said.status == 0, said.text
    assert (said.json["intent"], bool(re.search(answer, said.json["answer"]))) == (intent, True), said.json


@pytest.mark.parametrize(
    ("clip", "intent", "answer", "aloud"),
    [
        ("what_time_is_it.wav", "time", r"^It is \d+:\d\d [AP]M\.$", "it is"),
        ("whats_the_date_today.wav", "date", r"^Today is \w+, \w+ \d+, \d{4}\.$", "today is"),
        ("turn_on_the_lamp.wav", "device", r"cannot .* the lamp", "lamp"),
        ("play_the_beatles.wav", "device", r"cannot play music", "play music"),
        ("set_timer.wav", "set_timer", r"^(Timer set for|For how long)", ""),
        ("this_is_a_test.wav", "small_talk", r"test worked", "test"),
    ],
)
def test_recorded_voices(
    household: Household, tmp_path: Path, clip: str, intent: str, answer: str, aloud: str
) -> None:
    """What people have said elsewhere is understood, what cannot be done is said so, and the sound says the answer."""
    if not RECORDINGS.is_dir():
        pytest.skip(f"no recordings of voices in {RECORDINGS}; TANDEM_TEST_SPEECH may name another folder")
    out = tmp_path / "answer.wav"
    said = household.tandem("talk", str(RECORDINGS / clip), "--out", str(out), "--json")
    assert said.status == 0, said.text
    assert said.json["intent"] == intent, said.json
    assert re.search(answer, said.json["answer"]), said.json
    assert aloud in asyncio.run(transcribe(household, out)).lower()


def test_trace(household: Household) -> None:
    """``trace`` shows the hops of a turn on both machines, and in its list what the turn was about."""
    turn = household.tandem("ask", "--json", "remember that the garage code is 1234").json["turn"]
    words = ("RequestCoordinator", "NLUAgent", "MemoryOrchestratorService", "mainpc", "pc2")
    eventually(lambda: all(word in household.tandem("trace", turn).out for word in words), "every hop")

    def listed() -> list[str]:
        return [row["name"] for row in household.tandem("trace", "--json").json if row["turn"] == turn]

    eventually(lambda: listed() == ["remember"], "the turn in the list")


def test_logs_of_the_fleet(household: Household) -> None:
    """``logs`` merges what agents and servers of both machines wrote."""
    lines = household.logs("--json")
    machines = {match[1] for line in lines if (match := re.search(r'"machine":"(\w+)"', line))}
    assert machines == {"mainpc", "pc2"}


def test_down(household: Household) -> None:
    """``down`` leaves no process, socket or port of its agents, six servers, two nodes and two keepers."""
    assert len(household.processes()) > 30
    household.down()


def now() -> datetime.datetime:
    return datetime.datetime.now(datetime.UTC)  # the household's TZ is UTC
