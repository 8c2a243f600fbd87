"""Who may read and act by HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

starlette = pytest.importorskip("starlette", reason="the extra `hub` is not installed")

from starlette.requests import Request  # noqa: E402
from starlette.responses import Response  # noqa: E402

from tandem.core import clock  # noqa: E402
from tandem.core.errors import PermissionDenied  # noqa: E402
from tandem.hub import gate as gate_module  # noqa: E402
from tandem.hub.gate import Gate  # noqa: E402
from tandem.hub.sessions import LINK_S, SESSION_S, Sessions  # noqa: E402
from tandem.security import Principal  # noqa: E402


def authenticate(token: str) -> Principal:
    match token:
        case "good":
            return Principal(name="operator", kind="operator")
        case "agent":
            return Principal(name="NLUAgent@mainpc", kind="agent")
    raise PermissionDenied("not a token")


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(authenticate, Sessions(tmp_path / "sessions.json"), "Hub@mainpc")


def request(method: str = "GET", path: str = "/api/v1/fleet", **headers: str) -> Request:
    given = {"host": "localhost:9000"} | {name.replace("_", "-"): value for name, value in headers.items()}
    scope: dict[str, Any] = {
        "type": "http", "method": method, "path": path, "query_string": b"", "scheme": "http",
        "headers": [(name.encode(), value.encode()) for name, value in given.items()],
        "server": ("127.0.0.1", 1), "client": ("127.0.0.1", 2), "state": {},
    }  # fmt: skip
    return Request(scope)


def signed_in(gate: Gate) -> tuple[str, str]:
    """The cookie and the proof of a new session."""
    response = Response()
    proof = gate.begin(gate.sessions.invite("operator"), response)
    cookie = response.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and "Secure" in cookie
    return cookie.split(";")[0], proof


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
    cookie, proof = signed_in(gate)
    assert gate.admit(request(cookie=cookie)) is not None
    good = {"cookie": cookie, "x_csrf_token": proof}
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


def test_a_stolen_cookie_only_reads(gate: Gate) -> None:
    """A cookie with another session's proof acts on nothing, and nothing that can be read tells the proof."""
    cookie, _ = signed_in(gate)
    _, foreign = signed_in(gate)
    assert gate.admit(request(cookie=cookie)) is not None
    with pytest.raises(PermissionDenied, match="not the page that signed in"):
        gate.admit(request("POST", cookie=cookie, x_csrf_token=foreign))


def test_a_session_ends_and_cannot_be_made_up(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed cookie, one of another hub and one too old are no session."""
    cookie, _ = signed_in(gate)
    assert gate.session(request(cookie=cookie)) is not None
    assert gate.session(request(cookie=cookie[:-1] + ("0" if cookie[-1] != "0" else "1"))) is None
    assert gate.session(request(cookie=f"{gate.cookie}=rubbish")) is None
    later = clock.wall() + SESSION_S + 1
    monkeypatch.setattr(clock, "wall", lambda: later)
    assert gate.session(request(cookie=cookie)) is None


def test_signing_out_ends_the_session_itself(gate: Gate) -> None:
    """A copy of the cookie is worth nothing once its owner has signed out; another browser stays signed in."""
    cookie, _ = signed_in(gate)
    other, _ = signed_in(gate)
    gate.end(request("DELETE", cookie=cookie), Response(), everywhere=False)
    assert gate.session(request(cookie=cookie)) is None
    assert gate.session(request(cookie=other)) is not None


def test_signing_out_everywhere(gate: Gate) -> None:
    """All browsers and all links that were not used yet end at once, whoever has copies."""
    cookies = [signed_in(gate)[0] for _ in range(3)]
    code = gate.sessions.invite("operator")
    gate.end(request("DELETE", cookie=cookies[1]), Response(), everywhere=True)
    assert [gate.session(request(cookie=cookie)) for cookie in cookies] == [None] * 3
    with pytest.raises(PermissionDenied):
        gate.begin(code, Response())


def test_a_revoked_person_is_signed_out(tmp_path: Path) -> None:
    """When the operator's identity is revoked, sessions that began before are over; those begun after it hold."""
    epochs = {"operator": 0}
    gate = Gate(authenticate, Sessions(tmp_path / "s", epochs.__getitem__), "Hub@mainpc")
    cookie, _ = signed_in(gate)
    assert gate.session(request(cookie=cookie)) is not None
    epochs["operator"] = 1
    assert gate.session(request(cookie=cookie)) is None
    assert gate.session(request(cookie=signed_in(gate)[0])) is not None


def test_sessions_outlive_the_hub_and_follow_another_process(tmp_path: Path) -> None:
    """What is stored is found by the next instance, an end by either is known to both, and no secret is in the file."""
    first, second = (Gate(authenticate, Sessions(tmp_path / "s"), "Hub@mainpc") for _ in range(2))
    cookie, proof = signed_in(first)
    assert second.admit(request("POST", cookie=cookie, x_csrf_token=proof)) is not None
    stored = (tmp_path / "s").read_text()
    assert cookie.partition("=")[2] not in stored and proof not in stored
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0
    second.end(request("DELETE", cookie=cookie), Response(), everywhere=False)
    assert first.session(request(cookie=cookie)) is None


def test_a_damaged_file_signs_everybody_out(tmp_path: Path) -> None:
    """What cannot be read lets nobody in, and signing in works again."""
    (tmp_path / "s").write_text("[{")
    gate = Gate(authenticate, Sessions(tmp_path / "s"), "Hub@mainpc")
    assert gate.session(request(cookie=f"{gate.cookie}=x")) is None
    assert gate.session(request(cookie=signed_in(gate)[0])) is not None


def test_another_name_for_this_computer_opens_nothing(gate: Gate) -> None:
    """A foreign host name that resolves to loopback is refused, whoever asks."""
    for host in ("evil.example", "evil.example:9000", "localhost.evil.example", ""):
        with pytest.raises(PermissionDenied):
            gate.admit(request(host=host, authorization="Bearer good"))
    assert gate.admit(request(host="[::1]:9000", authorization="Bearer good")) is not None


def test_sign_in_takes_a_link(gate: Gate) -> None:
    """Nothing but a code begins a session, not even the operator's token."""
    for code in ("", "bad", "good", "agent"):
        with pytest.raises(PermissionDenied):
            gate.begin(code, Response())


def test_a_link_signs_in_once_and_not_for_long(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """What began a session begins no other, also when it is found in a browser's history; an old one begins none."""
    code, old = gate.sessions.invite("operator"), gate.sessions.invite("operator")
    gate.begin(code, Response())
    with pytest.raises(PermissionDenied, match="used already"):
        gate.begin(code, Response())
    later = clock.monotonic() + LINK_S + 1
    monkeypatch.setattr(clock, "monotonic", lambda: later)
    with pytest.raises(PermissionDenied, match="too old"):
        gate.begin(old, Response())


def test_hubs_on_one_host_keep_their_sessions_apart(gate: Gate, tmp_path: Path) -> None:
    """Browsers send a cookie to every port of a host, so each hub's has a name of its own."""
    assert Gate(authenticate, Sessions(tmp_path / "t"), "Hub@pc2").cookie != gate.cookie
