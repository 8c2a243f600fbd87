"""Addresses of alerts and collectors may be secrets: the fleet file names them, this fills them in."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from tandem.core.errors import ConfigError
from tandem.core.paths import Home
from tandem.core.secret_refs import is_reference
from tandem.errors.escalate import Policy, Route, names_clash
from tandem.security import Authority, SecretStore, resolve_secret


def with_secrets(policy: Policy, machine: str) -> Policy:
    """``policy`` with every ``secret:NAME`` and ``secret-file:PATH`` replaced by its value.

    Raises :class:`ConfigError` or :class:`~tandem.core.errors.NotFound`, which name the reference, and for two routes
    of one name.
    """
    clash = names_clash(policy.routes)
    if clash:
        raise ConfigError(f"two alert routes are called {clash!r}")
    routes = tuple(_filled(route, machine) for route in policy.routes)
    return replace(policy, routes=routes)


class OtlpTarget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where spans go as well: ``to`` is the traces address of an OpenTelemetry collector (``http://…:4318/v1/traces``)."""

    to: str
    headers: dict[str, str] = {}


def headers_of(target: OtlpTarget, machine: str) -> dict[str, str]:
    """The headers with ``secret:NAME`` and ``file:PATH`` replaced; raises as :func:`with_secrets` does."""
    return {name: _value(text, machine) for name, text in target.headers.items()}


def _filled(route: Route, machine: str) -> Route:
    return replace(route, to=_value(route.to, machine))


def _value(text: str, machine: str) -> str:
    if not is_reference(text):
        return text
    home = Home.from_environment()
    store = SecretStore(home, Authority.open(home).machine(machine))
    return resolve_secret(text, store).reveal()
