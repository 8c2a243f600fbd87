"""Who may read and who may act, decided before any route is reached.

The server listens on loopback. Reading takes a process of the same user (the kernel's table of connections says whose it
is), a session, or a token. Acting takes the operator: a token in ``Authorization``, or a session together with a header
that pages of other origins can neither read nor send. The Host header must name this computer, so that a foreign name
that resolves to 127.0.0.1 opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from tandem.core import clock
from tandem.core.errors import PermissionDenied
from tandem.security import Principal
from tandem.security.tokens import TOKEN_S

COOKIE_PREFIX = "tandem_"
CSRF_HEADER = "x-csrf-token"
SESSION_S = 12 * 3600.0
"""How long a browser stays signed in; a working day."""

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN_PATHS = frozenset({"/health", "/health_summary", "/metrics", "/login", "/favicon.ico", "/api/v1/session"})
OPEN_PREFIX = "/static/"

_KEY_FILE = "session-key"


def session_key(state: Path) -> bytes:
    """The key sessions are signed with; made once, so that they survive a restart of the hub."""
    path = state / _KEY_FILE
    try:
        return path.read_bytes()
    except FileNotFoundError:
        key = secrets.token_bytes(32)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:  # noqa: PTH123
            file.write(key)
        return key


class SignInFirst(PermissionDenied):
    """A person may sign in and then read this; a page can say so."""


class Gate:
    """``authenticate`` says whose token it is, or raises :class:`PermissionDenied`."""

    def __init__(self, authenticate: Callable[[str], Principal], key: bytes):
        self._authenticate = authenticate
        self._key = key
        # Browsers do not tell ports apart, and two hubs may share a host.
        self.cookie = COOKIE_PREFIX + hashlib.sha256(key).hexdigest()[:8]
        self._used: dict[bytes, float] = {}

    def admit(self, request: Request) -> Principal | None:
        """The operator behind ``request``, or None for somebody who may read this.

        Raises :class:`PermissionDenied` for everybody else.
        """
        _require_local_name(request.headers)
        bearer = _bearer(request.headers)
        if bearer:
            return self._operator(self._authenticate(bearer))
        session = self._session(request)
        if request.method not in ("GET", "HEAD"):
            if request.url.path == "/api/v1/session":
                _require_same_origin(request.headers)
                return session
            if session is None:
                raise PermissionDenied("only the operator may do this", hint="sign in: tandem hub open")
            _require_same_origin(request.headers)
            if not hmac.compare_digest(request.headers.get(CSRF_HEADER, ""), self.csrf(request) or ""):
                raise PermissionDenied("the request does not carry the page's own token", hint="reload the page")
            return session
        path = request.url.path
        if session is None and path not in OPEN_PATHS and not path.startswith(OPEN_PREFIX) and not _same_user(request):
            raise SignInFirst("reading takes the operator on this computer", hint="sign in: tandem hub open")
        return session

    def begin(self, token: str, response: Response) -> str:
        """Sign the browser in that holds ``token``; the header value it must send from now on.

        Raises :class:`PermissionDenied` for a wrong token, and for one that began a session before.
        """
        principal = self._operator(self._authenticate(token))
        self._use_up(token)
        value = f"{int(clock.wall() + SESSION_S)}.{secrets.token_urlsafe(16)}.{principal.name}"
        response.set_cookie(
            self.cookie, f"{value}.{self._sign('session', value)}", max_age=int(SESSION_S), httponly=True, samesite="strict"
        )
        return self._sign("csrf", value)

    def _use_up(self, token: str) -> None:
        """A link somebody finds in a browser's history is worth nothing."""
        now, mark = clock.wall(), hashlib.sha256(token.encode()).digest()
        self._used = {known: until for known, until in self._used.items() if until > now}
        if mark in self._used:
            raise PermissionDenied("this link was used already", hint="tandem hub open")
        self._used[mark] = now + TOKEN_S

    def csrf(self, request: Request) -> str | None:
        """What a page of this session must send along; None without a session."""
        value = self._valid(request)
        return None if value is None else self._sign("csrf", value)

    def _session(self, request: Request) -> Principal | None:
        value = self._valid(request)
        return None if value is None else Principal(name=value.split(".", 2)[2], kind="operator")

    def _valid(self, request: Request) -> str | None:
        value, _, mark = request.cookies.get(self.cookie, "").rpartition(".")
        if not value or not hmac.compare_digest(mark, self._sign("session", value)):
            return None
        return value if float(value.split(".", 1)[0]) > clock.wall() else None

    def _sign(self, purpose: str, value: str) -> str:
        return hmac.new(self._key, f"{purpose}:{value}".encode(), hashlib.sha256).hexdigest()

    @staticmethod
    def _operator(principal: Principal) -> Principal:
        if principal.kind != "operator":
            raise PermissionDenied(f"{principal.name} is not the operator")
        return principal


def _bearer(headers: Mapping[str, str]) -> str:
    scheme, _, token = headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _require_local_name(headers: Mapping[str, str]) -> None:
    name = urlsplit(f"//{headers.get('host', '')}").hostname
    if name not in LOCAL_NAMES:
        raise PermissionDenied("this address is served under the name of this computer only", hint="http://localhost")


def _require_same_origin(headers: Mapping[str, str]) -> None:
    """A browser says where a request comes from; a program that says nothing has no cookie somebody could abuse."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise PermissionDenied("the request comes from another site")
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != headers.get("host"):
        raise PermissionDenied("the request comes from another site")


def _same_user(request: Request) -> bool:
    """Whether the other end of the connection belongs to our user or to root."""
    client, server = request.scope.get("client"), request.scope.get("server")
    if client is None or server is None:
        return False
    ours, theirs = f":{server[1]:04X}", f":{client[1]:04X}"
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        try:
            rows = Path(table).read_text().splitlines()[1:]
        except OSError:
            continue
        for row in rows:
            fields = row.split()
            # The client's own entry: from its port to ours, both on loopback since we listen nowhere else.
            if fields[1].endswith(theirs) and fields[2].endswith(ours) and fields[3] == "01":
                return int(fields[7]) in (os.getuid(), 0)
    return False
