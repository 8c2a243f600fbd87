"""Alerts arrive at real HTTP servers, by webhook and by apprise."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tandem.core.errors import ConfigError, Unavailable
from tandem.errors import Severity
from tandem.errors.escalate import Alert, Route
from tandem.errors.incident import Incident, Root
from tandem.errors.notify import send

pytestmark = pytest.mark.integration


class Receiver:
    """Keeps what is posted; answers with ``status``."""

    def __init__(self) -> None:
        self.status = 200
        self.bodies: list[dict] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(receiver.status)
                self.end_headers()

            def log_message(self, *_arguments: object) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_port
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


INCIDENT = Incident(
    id="i1", key="agent:A@m", root=Root("died", "A@m", "ProcessDied", "exit code 1", 1.0), severity=Severity.CRITICAL,
    first=1.0, last=2.0, count=7, agents={"A@m": 1, "B@m": 6},
)  # fmt: skip


def alert(to: str, stage="opened") -> Alert:
    route = Route(name="r", to=to)
    return Alert(
        key=INCIDENT.key,
        incident="i1",
        route=route,
        stage=stage,
        severity=Severity.CRITICAL,
        title="A@m died",
    )


async def test_a_webhook_gets_json_with_the_stable_key(receiver: Receiver) -> None:
    """Key, stage, cause, reach and sender are there for a program to judge."""
    await send(alert(f"http://127.0.0.1:{receiver.port}/hook"), INCIDENT, "Hub@m")
    assert receiver.bodies == [
        {
            "key": "agent:A@m",
            "incident": "i1",
            "stage": "opened",
            "severity": "critical",
            "title": "A@m died",
            "root": {"kind": "died", "agent": "A@m", "type": "ProcessDied"},
            "count": 7,
            "agents": ["A@m", "B@m"],
            "first": 1.0,
            "last": 2.0,
            "sender": "Hub@m",
            "apart": [],
        }
    ]


@pytest.mark.parametrize(("stage", "kind"), [("opened", "failure"), ("resolved", "success")])
async def test_apprise_delivers(receiver: Receiver, stage: str, kind: str) -> None:
    """Any address apprise knows works, and beginning and end look different."""
    pytest.importorskip("apprise")
    await send(alert(f"json://127.0.0.1:{receiver.port}/", stage), INCIDENT, "Hub@m")
    [body] = receiver.bodies
    assert body["title"] == f"[critical] {stage}"
    assert body["message"].startswith("A@m died")
    assert body["type"] == kind


@pytest.mark.parametrize("scheme", ["http", "json"])
async def test_a_refusal_is_an_error(receiver: Receiver, scheme: str) -> None:
    """A service that answers with an error, or not at all, is tried again, so it must not count as told."""
    if scheme == "json":
        pytest.importorskip("apprise")
    receiver.status = 500
    with pytest.raises(Unavailable):
        await send(alert(f"{scheme}://127.0.0.1:{receiver.port}/"), INCIDENT, "Hub@m")
    receiver.close()
    with pytest.raises(Unavailable):
        await send(alert(f"{scheme}://127.0.0.1:{receiver.port}/"), INCIDENT, "Hub@m")


async def test_an_unknown_address_is_a_configuration_error() -> None:
    """The message names the route, not the address, which may hold a token."""
    pytest.importorskip("apprise")
    with pytest.raises(ConfigError, match="route 'r'") as raised:
        await send(alert("nonsense-secret-token"), INCIDENT, "Hub@m")
    assert "secret-token" not in str(raised.value)
