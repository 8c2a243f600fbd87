"""Which of the server's words put the position of a consumer aside, and which do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from tandem.infra import Positions

STAMP = "[7] 2026/11/21 21:14:10.123456 [WRN] "
ADDING = "    Error adding consumer 'TANDEM > EVENTS_ALL > A-x': error creating store for consumer: corrupt state file (10104)"
CREATING = "Consumer create failed for 'TANDEM > EVENTS_ALL > A-x': error creating store for consumer: corrupt state file (10104)"


class Store:
    """One consumer's position and the log of the server that keeps it."""

    def __init__(self, root: Path) -> None:
        self.log = root / "nats.log"
        self.log.write_text(f"{STAMP}{CREATING}\n")
        self.position = root / "jetstream/TANDEM/streams/EVENTS_ALL/obs/A-x/o.dat"
        self.position.parent.mkdir(parents=True)
        self.position.write_bytes(b"nonsense")
        self.positions = Positions(root, self.log)

    def says(self, *words: str) -> list[Path]:
        """What a look puts aside once the server has noted ``words``."""
        with self.log.open("a") as log:
            log.writelines(f'{{"ts":"2026-11-21T21:14:10Z","msg":"{STAMP}{line}"}}\n' for line in words)
        return self.positions.mend()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@pytest.mark.parametrize("words", [ADDING, CREATING])
def test_a_position_the_server_cannot_read_is_put_aside(
    store: Store, words: str, caplog: pytest.LogCaptureFixture
) -> None:
    """At the server's start or when somebody asks: the file is kept beside its place, and both are told."""
    (aside,) = store.says("something", words, words)
    assert aside.parent == store.position.parent and aside.name.startswith("o.dat.damaged-")
    assert aside.read_bytes() == b"nonsense" and not store.position.exists()
    assert str(aside) in caplog.text and "A-x" in caplog.text and "EVENTS_ALL" in caplog.text


@pytest.mark.parametrize(
    "words",
    [
        CREATING.replace("corrupt state file", "open o.dat: permission denied"),
        CREATING.replace("corrupt state file", "write o.dat: no space left on device"),
        CREATING.replace("corrupt state file", "read o.dat: input/output error"),
        CREATING.replace("A-x", "../../A-x"),
        "Healthcheck failed: JetStream consumer 'TANDEM > EVENTS_ALL > A-x' could not be found",
        f"a client named {CREATING}",
        "",
    ],
)
def test_other_words_touch_nothing(store: Store, words: str) -> None:
    """A disk that is full or fails, missing rights, a consumer that is still away, a name that leads elsewhere: all stays."""
    assert store.says(words) == []
    assert store.position.read_bytes() == b"nonsense"


def test_what_was_said_before_says_nothing_of_the_new_one(store: Store) -> None:
    """Neither words from before the first look count, nor those that were noted while the file was put aside."""
    assert store.says() == []
    assert len(store.says(CREATING)) == 1
    store.position.write_bytes(b"good")
    assert store.says(CREATING) == []
    assert store.position.read_bytes() == b"good"
    assert len(store.says(CREATING)) == 1  # damaged again, much later


def test_what_cannot_be_put_aside_is_told(
    store: Store, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look goes on, and names the file and the reason."""

    def refuse(_self: Path, _target: Path) -> Path:
        raise PermissionError("read-only file system")

    monkeypatch.setattr(Path, "rename", refuse)
    assert store.says(CREATING) == []
    assert str(store.position) in caplog.text and "read-only file system" in caplog.text
