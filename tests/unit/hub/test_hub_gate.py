"""Who may read and act by HTTP."""

from __future__ import annotations

from typing import Any

import pytest

starlette = pytest.importorskip("starlette", reason="the extra `hub` is not installed")

from starlette.requests import Request  # noqa: E402
from starlette.responses import Response  # noqa: E402

from tandem.core import clock  # noqa: E402
from tandem.core.errors import PermissionDenied  # noqa: E402
from tandem.hub import gate as gate_module  # noqa: E402
from tandem.hub.gate import SESSION_S, Gate, session_key  # noqa: E402
from tandem.security import Principal  # noqa: E402


def authenticate(token: str) -> Principal:
    match token:
        case "good":
            return Principal(name="operator", kind="operator")
        case "agent":
            return Principal(name="NLUAgent@mainpc", kind="agent")
    raise PermissionDenied("not a token")


@pytest.fixture
def gate() -> Gate:
    return Gate(authenticate, b"k" * 32)


def request(method: str = "GET", path: str = "/api/v1/fleet", **headers: str) -> Request:
    given = {"host": "localhost:9000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "state": {},
    }  # fmt: skip
    return Request(scope)


def signed_in(gate: Gate) -> tuple[str, str]:
    """The cookie and the header value of a new session."""
    response = Response()
    csrf = gate.begin("good", response)
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie
    return cookie.split(";")[0], csrf


def test_reading_takes_this_user_or_a_sign(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection of nobody we know is refused; one of our own user is not; health and metrics are for everybody."""
    with pytest.raises(PermissionDenied):
        gate.admit(request())
    for path in ("/health", "/metrics", "/static/app.js", "/login"):
        assert gate.admit(request(path=path)) is None
    monkeypatch.setattr(gate_module, "_same_user", lambda _request: True)
    assert gate.admit(request()) is None


def test_acting_takes_the_operator(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Being the same user is not enough, an agent's token neither; the operator's is."""
    monkeypatch.setattr(gate_module, "_same_user", lambda _request: True)
    for headers in ({}, {"authorization": "Bearer bad"}, {"authorization": "Bearer agent"}):
        with pytest.raises(PermissionDenied):
            gate.admit(request("POST", **headers))
    principal = gate.admit(request("POST", authorization="Bearer good"))
    assert principal is not None and principal.name == "operator"


def test_a_session_acts_only_from_its_own_pages(gate: Gate) -> None:
    """The cookie alone, a foreign origin, or a wrong token do nothing: no forged request gets through."""
    cookie, csrf = signed_in(gate)
    assert gate.admit(request(cookie=cookie)) is not None
    good = {"cookie": cookie, "x_csrf_token": csrf}
    assert gate.admit(request("POST", **good, origin="http://localhost:9000")) is not None
    for bad in (
        {"cookie": cookie},
        {"cookie": cookie, "x_csrf_token": "0" * 64},
        good | {"origin": "http://evil.example"},
        good | {"origin": "http://localhost:9100"},
        good | {"sec_fetch_site": "cross-site"},
    ):
        with pytest.raises(PermissionDenied):
            gate.admit(request("POST", **bad))


def test_a_session_ends_and_cannot_be_made_up(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed cookie, one of another key and one too old are no session."""
    cookie, _ = signed_in(gate)
    assert gate.csrf(request(cookie=cookie)) is not None
    assert gate.csrf(request(cookie=cookie[:-1] + ("0" if cookie[-1] != "0" else "1"))) is None
    other = Gate(authenticate, b"x" * 32)
    assert other.csrf(request(cookie=cookie.replace(gate.cookie, other.cookie))) is None
    assert gate.csrf(request(cookie=f"{gate.cookie}=rubbish")) is None
    later = clock.wall() + SESSION_S + 1
    monkeypatch.setattr(clock, "wall", lambda: later)
    assert gate.csrf(request(cookie=cookie)) is None


def test_another_name_for_this_computer_opens_nothing(gate: Gate) -> None:
    """A foreign host name that resolves to loopback is refused, whoever asks."""
    for host in ("evil.example", "evil.example:9000", "localhost.evil.example", ""):
        with pytest.raises(PermissionDenied):
            gate.admit(request(host=host, authorization="Bearer good"))
    assert gate.admit(request(host="[::1]:9000", authorization="Bearer good")) is not None


def test_sign_in_refuses_strangers(gate: Gate) -> None:
    """A wrong token, or an agent's, begins no session."""
    for token in ("", "bad", "agent"):
        with pytest.raises(PermissionDenied):
            gate.begin(token, Response())


def test_a_link_signs_in_once(gate: Gate) -> None:
    """What began a session begins no other, also when it is found in a browser's history."""
    gate.begin("good", Response())
    with pytest.raises(PermissionDenied, match="used already"):
        gate.begin("good", Response())


def test_hubs_on_one_host_keep_their_sessions_apart(gate: Gate) -> None:
    """Browsers send a cookie to every port of a host, so each hub's has a name of its own."""
    assert Gate(authenticate, b"x" * 32).cookie != gate.cookie


def test_the_key_survives_and_is_private(tmp_path) -> None:
    """Made once, read by nobody else."""
    key = session_key(tmp_path)
    assert session_key(tmp_path) == key and len(key) == 32
    assert (tmp_path / "session-key").stat().st_mode & 0o777 == 0o600
