"""Every address of the pages. Reading is a GET; what a page does goes through the hub's API, or is a POST below.

Who may read and who may act is settled before a route is reached (:mod:`tandem.hub.gate`).
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable
from importlib.resources import as_file, files

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from tandem.core.errors import NotFound, TandemError
from tandem.hub.gate import Gate
from tandem.hub.view import HubView
from tandem.hub.web import doctor, house, incidents, promises, talk, turns
from tandem.hub.web.render import page

Handler = Callable[[Request], Awaitable[Response]]


def routes(view: HubView) -> list[BaseRoute]:
    """The pages of one hub."""
    visits = doctor.Visits(view.fleet)
    with as_file(files("tandem.hub.web") / "static") as folder:
        static = StaticFiles(directory=folder)
    return [
        Mount("/static", static),
        _get("/", house.house),
        _get("/agents/{name}", house.agent),
        _get("/errors", incidents.listing),
        _get("/errors/{name}", incidents.one),
        _get("/turns", turns.listing),
        _get("/turns/{name}", turns.one),
        _get("/promises", promises.promises),
        _get("/talk", talk.room),
        Route("/talk", talk.ask, methods=["POST"]),
        _get("/doctor", visits.show),
        Route("/doctor", visits.make, methods=["POST"]),
        _get("/login", _login),
    ]


def _get(address: str, handler: Handler) -> Route:
    """A page that says in words what it cannot show."""

    @functools.wraps(handler)
    async def shown(request: Request) -> Response:
        try:
            return await handler(request)
        except TandemError as error:
            missing = isinstance(error, NotFound)
            heading = "There is nothing here" if missing else "This cannot be shown now"
            return page(
                request, "none", "trouble.html", 404 if missing else 503,
                heading=heading, message=error.message, hint=error.hint,
            )  # fmt: skip

    return Route(address, shown)


async def _login(request: Request) -> Response:
    gate: Gate = request.app.state.gate
    session = gate.session(request)
    others = 0 if session is None else len(gate.sessions.of(session.name)) - 1
    until = 0.0 if session is None else session.until
    return page(request, "login", "login.html", heading="Sign in", others=others, until=until)
