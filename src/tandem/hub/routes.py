"""Addresses of alerts may be secrets: the fleet file names them, this fills them in."""

from __future__ import annotations

from msgspec.structs import replace

from tandem.core.errors import ConfigError
from tandem.core.paths import Home
from tandem.errors.escalate import Policy, Route, names_clash
from tandem.security import Authority, SecretStore, is_reference, resolve_secret


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


def _filled(route: Route, machine: str) -> Route:
    if not is_reference(route.to):
        return route
    home = Home.from_environment()
    store = SecretStore(home, Authority.open(home).machine(machine))
    return replace(route, to=resolve_secret(route.to, store).reveal())
