"""What a person (or a broken program) may hand to the assistant: text and sound that cannot be used, and none at all."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from household import REAL_FLEET, Household, MakeHousehold, eventually

pytestmark = [pytest.mark.e2e, pytest.mark.models, pytest.mark.timeout(400)]

RATE = 16_000
SUM = "what is 17 plus 25"


@pytest.fixture(scope="module")
def household(make_shared_household: MakeHousehold, default_models: None) -> Household:
    household = make_shared_household(REAL_FLEET)
    household.up()
    return household


@pytest.fixture(autouse=True)
def nobody_suffers(household: Household) -> object:
    """After each test the next question is answered and no agent has died."""
    yield
    assert "42" in household.ask(SUM)
    eventually(lambda: {agent["state"] for agent in household.status()["agents"]} == {"healthy"}, "everybody to be well")
    agents = household.status()["agents"]
    assert {agent["name"]: agent["restarts"] for agent in agents if agent["restarts"]} == {}


def tone(seconds: float, rate: int = RATE) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * 440 * np.arange(round(seconds * rate)) / rate)


def make_sound(path: Path, fault: str) -> Path:
    """A recording with that fault."""
    if fault == "empty file":
        path.write_bytes(b"")
    elif fault == "no samples":
        soundfile.write(path, np.zeros(0), RATE)
    elif fault == "silent":
        soundfile.write(path, np.zeros(2 * RATE), RATE)
    elif fault in ("cut off", "cut in its header"):
        soundfile.write(path, tone(2.0), RATE)
        whole = path.read_bytes()
        path.write_bytes(whole[:20] if "header" in fault else whole[: len(whole) // 2])
    elif fault == "not audio":
        path.write_bytes(b"Dear diary, today I recorded nothing at all.\n" * 100)
    elif fault == "a directory":
        path.mkdir()
    return path


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("empty file", "empty"),
        ("no samples", "no samples"),
        ("silent", "silent"),
        ("cut off", "cut off"),
        ("cut in its header", ""),
        ("not audio", "not an audio file"),
        ("a directory", "irectory"),
        ("missing", "No such file"),
    ],
)
def test_sound_that_cannot_be_used(household: Household, tmp_path: Path, fault: str, words: str) -> None:
    """The file is named with what is wrong with it, in one line, at once."""
    path = make_sound(tmp_path / "question.wav", fault)
    said = household.tandem("talk", str(path), "--json")
    assert said.status == 1
    assert said.out == ""
    assert said.err.startswith("Error: ")
    assert str(path) in said.err
    assert words in said.err


def test_sound_without_speech(household: Household, tmp_path: Path) -> None:
    """A recording of a tone holds no question, and that is what is said."""
    path = tmp_path / "tone.wav"
    soundfile.write(path, tone(2.0), RATE)
    said = household.tandem("talk", str(path), "--json")
    assert said.status == 1, said.text
    assert "no speech was heard" in said.err


def test_stereo_at_8_khz_without_speech(household: Household, tmp_path: Path) -> None:
    """Telephone rate and two channels are no fault by themselves."""
    path = tmp_path / "tone.wav"
    soundfile.write(path, np.stack([tone(1.0, 8_000)] * 2, axis=1), 8_000)
    said = household.tandem("talk", str(path), "--json")
    assert "no speech was heard" in said.err


def test_answer_that_cannot_be_written(household: Household, tmp_path: Path) -> None:
    """Where the answer's sound cannot go is said before the recording is even looked at."""
    path = make_sound(tmp_path / "question.wav", "silent")
    for out, reason in ((tmp_path / "no" / "such.wav", "No such file"), (tmp_path, "Is a directory"), (path / "x.wav", "Not a directory")):
        said = household.tandem("talk", str(path), "--out", str(out))
        assert said.status == 1
        assert said.err.startswith(f"Error: cannot write {out}: {reason}")


def test_no_microphone(household: Household) -> None:
    """Without a sound card `talk` says so and what works instead; with one it would listen, so it is interrupted."""
    if any(Path("/dev/snd").glob("pcm*c")):
        pytest.skip("this computer has a microphone")
    said = household.tandem("talk")
    assert said.status == 1
    assert "Error: there is no microphone: " in said.err
    assert "tandem talk FILE.wav works without one" in said.err


@pytest.mark.parametrize("text", ["", "   ", "\n\t"])
def test_nothing_asked(household: Household, text: str) -> None:
    """Empty text is refused with an example."""
    said = household.tandem("ask", text)
    assert said.status == 1
    assert 'tandem ask "what time is it"' in said.err


def test_nothing_piped(household: Household) -> None:
    """Empty standard input is refused just the same."""
    said = household.tandem("ask", "-", stdin=b"")
    assert said.status == 1
    assert "nothing was asked" in said.err


def test_very_long_text(household: Household) -> None:
    """100,000 characters are refused with the limit; nothing is cut silently and nothing hangs."""
    said = household.tandem("ask", "-", stdin=("tea " * 25_000).encode())
    assert said.status == 1, said.text
    assert "that is 100,000 characters; one request may have" in said.err
    assert len(said.err) < 1_000


def test_binary(household: Household) -> None:
    """Bytes that are no text are refused."""
    said = household.tandem("ask", "-", stdin=bytes(range(256)) * 20)
    assert said.status == 1
    assert "not text" in said.err


@pytest.mark.parametrize(
    "text",
    [
        "what is 17\x00plus 25",
        "\x1b[31mwhat is\x07 17 plus 25",
        "remember that the 🍵🍵🍵 is a\u0301\u0301\u0301",
        "remember that '); DROP TABLE memories; --",
        "{{7*7}} ${HOME} %s %n",
    ],
    ids=["NUL", "control characters", "emoji", "SQL", "templates"],
)
def test_odd_text(household: Household, text: str) -> None:
    """Odd characters get an answer or a refusal in words, and control characters are not sent back to the terminal."""
    said = household.tandem("ask", "-", stdin=text.encode())
    assert said.status in (0, 1)
    assert said.status == 0 or said.err.startswith("Error: ")
    assert not set(said.out) & {"\x00", "\x1b", "\x07"}


def test_odd_facts(household: Household) -> None:
    """A fact with quotes, emoji and other scripts comes back as it was told."""
    household.ask("""remember that the "guest" wifi password is pa'ss 🍵 wörd; --""")
    assert "pa'ss 🍵 wörd; --" in household.ask("what is the guest wifi password?")


def test_time_budget(household: Household) -> None:
    """``--timeout`` is kept: a question that needs longer ends with a message, not with a hang."""
    began = time.monotonic()
    said = household.tandem("ask", "--timeout", "0.2", "write a long poem about the sea and all its fish")
    assert said.status in (0, 1)
    if said.status == 1:
        assert said.err.startswith("Error: ")
    assert time.monotonic() - began < 60


@pytest.mark.parametrize("verb", ["ask", "talk"])
def test_interrupted_question(household: Household, tmp_path: Path, verb: str) -> None:
    """Ctrl-C while the assistant thinks or listens ends the command at once; the assistant is free for the next question."""
    path = tmp_path / "long.wav"
    soundfile.write(path, np.zeros(60 * RATE) + 0.01 * tone(60.0), RATE)
    words = ["explain step by step and at length how a refrigerator works"] if verb == "ask" else [str(path)]
    running = household.begin(verb, *words)
    eventually(
        lambda: running.process.poll() is not None or sockets_of(running.process.pid), "the connection"
    )
    running.interrupt()
    said = running.end()
    assert said.status == 130, said.text
    assert said.err.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in said.text


def sockets_of(pid: int) -> int:
    """How many unix sockets a process has open: a command has none before it is connected."""
    try:
        return sum(os.readlink(fd).startswith("socket:") for fd in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return 0


def test_wrong_usage(household: Household) -> None:
    """Unknown verbs and options are refused with status 2 and a suggestion."""
    for words, hint in (
        (["aks", "hello"], "ask"),
        (["ask", "--jsno", "hello"], "--json"),
        (["--up"], "verb"),
    ):
        said = household.tandem(*words)
        assert said.status == 2
        assert hint in said.err
