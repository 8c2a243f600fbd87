"""A hub's HTTP: health, metrics, the JSON API, the live stream, and the pages.

/health            this hub, 200 or 503           /metrics   Prometheus text of this machine and all its agents
/health_summary    the fleet in a few numbers     /live      server-sent events
/api/v1/…          the same as JSON, see the routes below
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from importlib.util import find_spec
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tandem.core.errors import (
    DeadlineExceeded,
    InvalidArguments,
    NotFound,
    PermissionDenied,
    TandemError,
    TooLarge,
    UnknownAction,
)
from tandem.core.health import HealthReport, Status
from tandem.errors.listing import IncidentQuery
from tandem.hub.gate import Gate, SignInFirst
from tandem.hub.series import Point
from tandem.hub.summary import summarise
from tandem.hub.view import HubView
from tandem.rpc.context import principal_var
from tandem.security import Principal
from tandem.telemetry.metrics import CONTENT_TYPE

PAGES = "tandem.hub.web.routes"
MAX_BODY = 64 * 1024
MAX_LIMIT = 1_000

_STATUS: dict[type[TandemError], int] = {
    PermissionDenied: 403,
    NotFound: 404,
    UnknownAction: 404,
    InvalidArguments: 400,
    TooLarge: 413,
    DeadlineExceeded: 504,
}
SECURITY_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'; object-src 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
}

Health = Callable[[], Awaitable[HealthReport]]


def make_app(view: HubView, gate: Gate, health: Health) -> Starlette:
    """The application; ``health`` is asked for anew with every request."""
    routes = [
        Route("/health", _health),
        Route("/health_summary", _summary),
        Route("/metrics", _metrics),
        Route("/live", _live),
        Route("/api/v1/session", _session, methods=["GET", "POST", "DELETE"]),
        Route("/api/v1/fleet", _fleet),
        Route("/api/v1/machines", _machines),
        Route("/api/v1/agents", _agents),
        Route("/api/v1/agents/{name}", _agent),
        Route("/api/v1/agents/{name}/logs", _logs),
        Route("/api/v1/agents/{name}/history", _agent_history),
        Route("/api/v1/machines/{name}/history", _machine_history),
        Route("/api/v1/agents/{name}/{verb}", _control, methods=["POST"]),
        Route("/api/v1/incidents", _incidents),
        Route("/api/v1/incident-counts", _incident_counts),
        Route("/api/v1/incidents/{name}", _incident),
        Route("/api/v1/incidents/{name}/{verb}", _judge, methods=["POST"]),
        Route("/api/v1/errors", _stats),
        Route("/api/v1/objectives", _objectives),
        Route("/api/v1/forecasts", _forecasts),
        Route("/api/v1/turns", _turns),
        Route("/api/v1/turns/{name}", _turn),
        *_pages(view),
    ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(_Guard, gate=gate)],
        exception_handlers={TandemError: _told, msgspec.MsgspecError: _told},
    )
    app.state.view, app.state.gate, app.state.health = view, gate, health
    return app


def _pages(view: HubView) -> list[BaseRoute]:
    if find_spec(PAGES.rpartition(".")[0]) is None or find_spec(PAGES) is None:
        return []
    found: list[BaseRoute] = importlib.import_module(PAGES).routes(view)
    return found


class _Guard:
    """Lets nobody past whom the gate does not admit, and adds the headers that keep browsers honest."""

    def __init__(self, app: ASGIApp, gate: Gate):
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = message.setdefault("headers", [])
                given = {name.lower() for name, _ in headers}
                for name, value in SECURITY_HEADERS.items():
                    if name.encode() not in given:
                        headers.append((name.encode(), value.encode()))
            await send(message)

        request = Request(scope, receive)
        try:
            scope.setdefault("state", {})["principal"] = self._gate.admit(request)
        except PermissionDenied as error:
            await _refused(request, error)(scope, receive, send_safely)
            return
        await self._app(scope, receive, send_safely)


def _refused(request: Request, error: PermissionDenied) -> Response:
    """A person is shown where to sign in; a program is told."""
    wants_page = "text/html" in request.headers.get("accept", "")
    if isinstance(error, SignInFirst) and wants_page:
        return RedirectResponse(f"/login?next={quote(request.url.path)}", 303)
    return _error(error)


# ---- the hub itself ----


async def _health(request: Request) -> Response:
    report: HealthReport = await request.app.state.health()
    well = report.status in (Status.HEALTHY, Status.DEGRADED)
    return _json(report, status=200 if well else 503)


async def _summary(request: Request) -> Response:
    return _json(summarise(_view(request).picture()))


async def _metrics(request: Request) -> Response:
    text = await _view(request).metrics(request.query_params.get("machine", ""))
    return Response(text, media_type=CONTENT_TYPE)


async def _live(request: Request) -> Response:
    return StreamingResponse(
        _events(_view(request), request),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _events(view: HubView, request: Request) -> AsyncIterator[bytes]:
    """The whole picture, then what changes; a comment now and then tells both ends that the other is there.

    Ends when whoever listens is signed out.
    """
    gate: Gate = request.app.state.gate
    signed_in = gate.session(request) is not None
    changes = view.changes.listen()
    yield b"retry: 2000\n" + _event("picture", view.picture())
    async for found in changes:
        if signed_in and gate.session(request) is None:
            return
        yield _event("change", found) if found else b": still here\n\n"


def _event(kind: str, data: Any) -> bytes:
    return b"event: " + kind.encode() + b"\ndata: " + msgspec.json.encode(data) + b"\n\n"


async def _session(request: Request) -> Response:
    gate: Gate = request.app.state.gate
    if request.method == "POST":
        response = Response(media_type="application/json")
        proof = gate.begin(str((await _body(request)).get("code", "")), response)
        response.body = msgspec.json.encode({"operator": "operator", "csrf": proof})
        response.headers["content-length"] = str(len(response.body))
        return response
    if request.method == "DELETE":
        response = _json({"operator": None})
        gate.end(request, response, everywhere=request.query_params.get("everywhere") == "1")
        return response
    principal: Principal | None = request.state.principal
    return _json({"operator": principal.name if principal else None})


# ---- the fleet ----


async def _fleet(request: Request) -> Response:
    return _json(_view(request).picture())


async def _machines(request: Request) -> Response:
    return _json([msgspec.structs.replace(m, agents=[]) for m in _view(request).picture().machines])


async def _agents(request: Request) -> Response:
    return _json(_view(request).picture().agents())


async def _agent(request: Request) -> Response:
    return _json(_view(request).agent(request.path_params["name"]))


async def _logs(request: Request) -> Response:
    lines = _number(request, "lines", 200)
    return _json(await _view(request).logs(request.path_params["name"], int(lines)))


async def _agent_history(request: Request) -> Response:
    view = _view(request)
    name, _, machine = view.agent(request.path_params["name"]).id.partition("@")
    return _json(_columns(await view.history.curve(machine, name, _span(request))))


async def _machine_history(request: Request) -> Response:
    view, machine = _view(request), request.path_params["name"]
    if machine not in view.fleet.machines:
        raise NotFound(f"there is no machine {machine!r}")
    return _json(_columns(await view.history.curve(machine, "", _span(request))))


async def _control(request: Request) -> Response:
    verb = request.path_params["verb"]
    if verb not in ("start", "stop", "restart"):
        raise UnknownAction(f"an agent cannot be told to {verb!r}", hint="start, stop or restart")
    return _json(await _view(request).control(verb, request.path_params["name"], _operator(request)))


# ---- incidents and turns ----


async def _incidents(request: Request) -> Response:
    everything = request.query_params.get("all", "") in ("1", "true")
    limit = _number(request, "limit", 100)
    return _json(await _view(request).incidents.list_incidents(all_states=everything, limit=int(limit)))


async def _incident_counts(request: Request) -> Response:
    return _json((await _view(request).incidents.search_incidents(IncidentQuery(limit=1))).totals)


async def _incident(request: Request) -> Response:
    return _json(await _view(request).incidents.show_incident(request.path_params["name"]))


async def _judge(request: Request) -> Response:
    principal_var.set(request.state.principal)
    incidents, name = _view(request).incidents, request.path_params["name"]
    body = await _body(request)
    note = f"{body.get('note', '')}"
    match request.path_params["verb"]:
        case "ack":
            return _json(await incidents.acknowledge_incident(name, note))
        case "resolve":
            return _json(await incidents.resolve_incident(name, note))
        case "reopen":
            return _json(await incidents.reopen_incident(name, note))
        case "snooze":
            seconds = body.get("seconds", 3600)
            if not isinstance(seconds, int | float):
                raise InvalidArguments("seconds is a number")
            return _json(await incidents.snooze_incident(name, float(seconds), note))
        case verb:
            raise UnknownAction(f"an incident cannot be told to {verb!r}", hint="ack, snooze, resolve or reopen")


async def _stats(request: Request) -> Response:
    return _json(await _view(request).incidents.error_stats(_number(request, "seconds", 86_400.0, 90 * 86_400.0)))


async def _objectives(request: Request) -> Response:
    return _json(await _view(request).judgements.standings())


async def _forecasts(request: Request) -> Response:
    return _json(await _view(request).judgements.forecasts())


async def _turns(request: Request) -> Response:
    search = request.query_params.get("search", "")
    limit = int(_number(request, "limit", 50))
    return _json(await _view(request).turns.recent(limit, search))


async def _turn(request: Request) -> Response:
    summary, rows = await _view(request).turns.turn(request.path_params["name"])
    return _json({"turn": summary, "spans": rows})


# ---- what they share ----


def _view(request: Request) -> HubView:
    view: HubView = request.app.state.view
    return view


def _operator(request: Request) -> str:
    principal: Principal = request.state.principal
    return principal.name


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object a request carries; an empty body is an empty object."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise TooLarge(f"at most {MAX_BODY} bytes")
    return msgspec.json.decode(body, type=dict[str, Any]) if body.strip() else {}


def _columns(points: list[Point]) -> list[dict[str, Any]]:
    """Points by the names of their fields, since their own form on the wire is a bare list."""
    return [msgspec.structs.asdict(point) for point in points]


def _span(request: Request) -> float:
    """How far back, in seconds: an hour unless it says otherwise, at most 90 days."""
    return _number(request, "seconds", 3_600.0, 90 * 86_400.0)


def _number(request: Request, name: str, default: float, most: float = MAX_LIMIT) -> float:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value <= most:
        raise InvalidArguments(f"{name} is a number above 0, at most {most:g}")
    return value


def _json(value: Any, status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(value), status, {"cache-control": "no-store"}, media_type="application/json"
    )


def _error(error: Exception) -> Response:
    if not isinstance(error, TandemError):
        error = InvalidArguments(f"not the JSON this takes: {error}")
    shown = {"error": error.code, "message": error.message, "hint": error.hint}
    return _json(shown, _STATUS.get(type(error), 503))


async def _told(_request: Request, error: Exception) -> Response:
    return _error(error)
