"""Who may read and who may act, decided before any route is reached.

The server listens on loopback. Reading takes a process of the same user (the kernel's table of connections says whose it
is), a session, or a token. Acting takes the operator: a token in ``Authorization``, or a session together with its proof in
a header, which pages of other origins can neither read nor send. The Host header must name this computer, so that a foreign
name that resolves to 127.0.0.1 opens nothing.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import Response

from tandem.core.errors import PermissionDenied
from tandem.hub.sessions import SESSION_S, Session, Sessions, digest
from tandem.security import Principal

COOKIE_PREFIX = "tandem_"
CSRF_HEADER = "x-csrf-token"
"""Carries a session's proof."""

LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
OPEN_PATHS = frozenset({"/health", "/health_summary", "/metrics", "/login", "/favicon.ico", "/api/v1/session"})
OPEN_PREFIX = "/static/"

class SignInFirst(PermissionDenied):
    """A person may sign in and then read this; a page can say so."""


class Gate:
    """``authenticate`` says whose token it is, or raises :class:`PermissionDenied`. ``name`` is this hub's identity."""

    def __init__(self, authenticate: Callable[[str], Principal], sessions: Sessions, name: str):
        self.sessions = sessions
        self._authenticate = authenticate
        # Browsers do not tell ports apart, and two hubs may share a host.
        self.cookie = COOKIE_PREFIX + digest(name)[:8]

    def admit(self, request: Request) -> Principal | None:
        """The operator behind ``request``, or None for somebody who may read this.

        Raises :class:`PermissionDenied` for everybody else.
        """
        _require_local_name(request.headers)
        bearer = _bearer(request.headers)
        if bearer:
            return self._operator(self._authenticate(bearer))
        session = self.session(request)
        if request.method not in ("GET", "HEAD"):
            _require_same_origin(request.headers)
            if request.url.path == "/api/v1/session":
                return _principal(session)
            if session is None:
                raise PermissionDenied("only the operator may do this", hint="sign in: tandem hub open")
            if not session.proves(request.headers.get(CSRF_HEADER, "")):
                raise PermissionDenied("this is not the page that signed in", hint="sign in again: tandem hub open")
            return _principal(session)
        path = request.url.path
        if session is None and path not in OPEN_PATHS and not path.startswith(OPEN_PREFIX) and not _same_user(request):
            raise SignInFirst("reading takes the operator on this computer", hint="sign in: tandem hub open")
        return _principal(session)

    def begin(self, code: str, response: Response) -> str:
        """Sign the browser in that holds ``code``; the proof it must send from now on with what acts.

        Raises :class:`PermissionDenied` for a wrong code, and for one that began a session before.
        """
        begun = self.sessions.begin(code)
        response.set_cookie(
            self.cookie, begun.cookie, max_age=int(SESSION_S), httponly=True, samesite="strict", secure=True
        )
        return begun.proof

    def end(self, request: Request, response: Response, *, everywhere: bool) -> None:
        """Sign this browser out, or with ``everywhere`` every browser of the same person."""
        session = self.session(request)
        if session is not None and everywhere:
            self.sessions.end_all(session.name)
        elif session is not None:
            self.sessions.end(session)
        response.delete_cookie(self.cookie, httponly=True, samesite="strict", secure=True)

    def session(self, request: Request) -> Session | None:
        """Whose browser it is, as of now; None for one that is not signed in (any more)."""
        return self.sessions.find(request.cookies.get(self.cookie, ""))

    @staticmethod
    def _operator(principal: Principal) -> Principal:
        if principal.kind != "operator":
            raise PermissionDenied(f"{principal.name} is not the operator")
        return principal


def _principal(session: Session | None) -> Principal | None:
    return None if session is None else Principal(name=session.name, kind="operator")


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
