"""Templates, and what every page shares. Everything a template is given is escaped when it is written."""

from __future__ import annotations

import hashlib
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse

from tandem.hub.picture import AgentPicture
from tandem.hub.view import HubView
from tandem.hub.web import words

PAGES = (
    ("house", "/", "House"),
    ("errors", "/errors", "Errors"),
    ("turns", "/turns", "Turns"),
    ("promises", "/promises", "Promises"),
    ("talk", "/talk", "Talk"),
    ("doctor", "/doctor", "Doctor"),
)
"""Name, address and word of every page a person finds in the bar."""

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; font-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No inline script or style, nothing from elsewhere, in nobody's frame."""


def view_of(request: Request) -> HubView:
    view: HubView = request.app.state.view
    return view


def operator_of(request: Request) -> str:
    """The operator's name; empty for somebody who may only read."""
    principal = request.state.principal
    return principal.name if principal is not None else ""


def page(request: Request, name: str, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A whole page. ``name`` is one of :data:`PAGES`, ``values`` are the template's."""
    shown = {"page": name, "fleet": title_of(request), "pages": PAGES, "script": "", **values}
    return _html(request, template, status, shown)


def part(request: Request, template: str, **values: Any) -> HTMLResponse:
    """A piece of a page, for the page to take in."""
    return _html(request, template, 200, values)


def wanted_part(request: Request) -> str:
    """Which piece of the page is asked for; empty for the whole."""
    return request.query_params.get("part", "")


def title_of(request: Request) -> str:
    return words.title(view_of(request).fleet.name)


def _html(request: Request, template: str, status: int, values: dict[str, Any]) -> HTMLResponse:
    html = templates().get_template(template).render(operator=operator_of(request), **values)
    return HTMLResponse(html, status, {"cache-control": "no-store", "content-security-policy": POLICY})


@cache
def templates() -> Environment:
    environment = Environment(
        loader=PackageLoader("tandem.hub.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["asset"] = asset
    environment.filters.update(
        span=words.span,
        clock=words.clock,
        iso=words.iso,
        log_clock=words.log_clock,
        tone=words.tone,
        title_words=words.title,
        plural=words.plural_of,
        sentence=words.sentence,
        address=lambda text: quote(str(text), safe="@"),
        bare=lambda identity: str(identity).partition("@")[0],
        agent_tone=lambda agent: words.tone(agent.state, agent.verdict),
        reason=reason,
    )
    return environment


@cache
def asset(name: str) -> str:
    """The address of a static file. It changes with the content, so that a browser never shows an old one."""
    content = (files("tandem.hub.web") / "static" / name).read_bytes()
    return f"/static/{name}?{hashlib.sha256(content).hexdigest()[:10]}"


def reason(agent: AgentPicture) -> str:
    """Why an agent is where it is, in its own or its node's first words."""
    return agent.issues[0] if agent.issues else agent.note or agent.exit
