"""Mended socket code against real sockets: it still works, and no longer waits for ever."""

from __future__ import annotations

import runpy
import socket
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
import zmq

from tandem.audit import Options, audit
from tandem.audit.fix import timeouts
from tandem.audit.fix.patch import write
from tandem.audit.fix.plan import plan

pytestmark = pytest.mark.integration

CLIENT = """
import zmq

class Client:
    def __init__(self, endpoint):
        self.context = zmq.Context()
        # one peer
        self.sock = self.context.socket(zmq.REQ)
        self.sock.connect(endpoint)

    def ask(self, text):
        self.sock.send_string(text)
        return self.sock.recv_string()

    def close(self):
        self.sock.close(0)
        self.context.term()
"""

SERVER = """
import zmq

class Server:
    def __init__(self):
        self.context = zmq.Context()
        self.sock = self.context.socket(zmq.REP)
        self.port = self.sock.bind_to_random_port("tcp://127.0.0.1")
        self.running = True

    def run(self):
        while self.running:
            text = self.sock.recv_string()
            self.sock.send_string(text.upper())
        self.sock.close(0)
        self.context.term()
"""

POOL = """
import zmq

class Pooled:
    def __init__(self, socket):
        self.socket = socket

_context = zmq.Context.instance()

def get_req_socket(endpoint) -> Pooled:
    made = _context.socket(zmq.REQ)
    made.linger = 0
    made.connect(endpoint)
    return Pooled(made)
"""


def put(root: Path, name: str, text: str) -> None:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(textwrap.dedent(text).lstrip("\n"))


def mend(root: Path, *rules: str) -> None:
    found = plan(root, rules)
    assert found.changes
    write(found.root, found.changes)
    assert plan(root, rules).changes == []


def left(root: Path, rule: str) -> list[str]:
    return [item.path for item in audit(Options(root=root, rules=frozenset({rule}), cache=False)).findings]


def load(root: Path, name: str) -> dict[str, Any]:
    return runpy.run_path(str(root / name))


@pytest.fixture
def serving(tmp_path: Path) -> Any:
    """A mended server that runs in a thread."""
    put(tmp_path, "server.py", SERVER)
    mend(tmp_path, "recv-without-timeout")
    server = load(tmp_path, "server.py")["Server"]()
    thread = threading.Thread(target=server.run)
    thread.start()
    yield server
    server.running = False
    thread.join(120)
    assert not thread.is_alive()


def test_mended_server_answers_and_stops(serving: Any) -> None:
    """A serving loop answers as before, and ends when it is told to although nobody asks any more."""
    context = zmq.Context()
    asking = context.socket(zmq.REQ)
    asking.rcvtimeo = 60_000
    asking.connect(f"tcp://127.0.0.1:{serving.port}")
    asking.send_string("hello")
    assert asking.recv_string() == "HELLO"
    asking.close(0)
    context.term()


def test_mended_client_gets_its_answer(tmp_path: Path, serving: Any) -> None:
    """A client's request is answered as before."""
    put(tmp_path, "client/client.py", CLIENT)
    mend(tmp_path / "client", "recv-without-timeout")
    client = load(tmp_path, "client/client.py")["Client"](f"tcp://127.0.0.1:{serving.port}")
    assert client.ask("ping") == "PING"
    assert client.ask("again") == "AGAIN"
    client.close()


def test_mended_client_gives_up_and_can_ask_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an answer the client raises zmq.Again instead of hanging, and its socket can be used again."""
    monkeypatch.setattr(timeouts, "ANSWER_MS", 50)
    put(tmp_path, "client.py", CLIENT)
    mend(tmp_path, "recv-without-timeout")
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        client = load(tmp_path, "client.py")["Client"](f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        for _ in range(2):
            with pytest.raises(zmq.Again):
                client.ask("anybody?")
        client.close()


def test_raw_socket_comes_from_the_pool(tmp_path: Path, serving: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A REQ socket opened by hand is taken from the tree's pool, limited, and asks as before."""
    root = tmp_path / "fleet"
    put(root, "common/pools/zmq_pool.py", POOL)
    put(root, "client.py", CLIENT)
    mend(root, "socket-outside-pool")
    text = (root / "client.py").read_text()
    assert "get_req_socket(endpoint).socket" in text
    assert "# one peer" in text
    assert ".connect(" not in text
    for name in [name for name in sys.modules if name.partition(".")[0] == "common"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(root))
    client = load(root, "client.py")["Client"](f"tcp://127.0.0.1:{serving.port}")
    assert client.ask("pooled") == "POOLED"
    assert client.sock.rcvtimeo == timeouts.ANSWER_MS
    client.sock.close(0)
    assert left(root, "recv-without-timeout") == []


def test_without_a_pool_nothing_is_proposed(tmp_path: Path) -> None:
    """Where the tree has no pool, raw sockets are left to people."""
    put(tmp_path, "client.py", CLIENT)
    found = plan(tmp_path, ["socket-outside-pool"])
    assert (found.changes, found.suggestions) == ([], [])


def test_loop_that_works_before_it_receives_is_only_suggested(tmp_path: Path) -> None:
    """Going round early must not repeat work, so a receive in the middle of a loop is not touched without asking."""
    put(
        tmp_path,
        "a.py",
        """
        import zmq
        s = zmq.Context().socket(zmq.SUB)
        n = 0
        while n < 5:
            n += 1
            s.recv()
        """,
    )
    found = plan(tmp_path, ["recv-without-timeout"])
    assert found.changes == []
    assert "poll(1000)" in found.suggestions[0].after
