"""Sends alerts: JSON to a webhook, anything else by apprise, which knows some hundred services."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tandem.core.errors import ConfigError, Unavailable
from tandem.errors.escalate import Alert
from tandem.errors.incident import Incident

if TYPE_CHECKING:
    import apprise

TIMEOUT_S = 10.0


async def send(alert: Alert, incident: Incident, sender: str, apart: Sequence[str] = ()) -> None:
    """Deliver one alert; ``sender`` is the hub's identity, ``apart`` machines whose hub may send the same one.

    Raises :class:`Unavailable` when the service does not take it, :class:`ConfigError` for an address nobody knows.
    """
    if alert.route.to.startswith(("http://", "https://")):
        await asyncio.to_thread(_post, alert.route.to, payload(alert, incident, sender, apart))
    else:
        await asyncio.to_thread(_notify, alert, apart)


def payload(alert: Alert, incident: Incident, sender: str, apart: Sequence[str] = ()) -> dict[str, object]:
    """The JSON a webhook gets. Receivers that know ``key`` and ``stage`` can tell a repetition from news."""
    return {
        "key": alert.key,
        "incident": alert.incident,
        "stage": alert.stage,
        "severity": str(alert.severity),
        "title": alert.title,
        "root": {"kind": incident.root.kind, "agent": incident.root.agent, "type": incident.root.type},
        "count": incident.count,
        "agents": list(incident.agents),
        "first": incident.first,
        "last": incident.last,
        "sender": sender,
        "apart": list(apart),
    }


def _post(address: str, body: dict[str, object]) -> None:
    request = urllib.request.Request(
        address, json.dumps(body).encode(), {"Content-Type": "application/json", "User-Agent": "tandem"}
    )
    try:
        # The scheme was checked by send().
        with urllib.request.urlopen(request, timeout=TIMEOUT_S):
            return
    except (urllib.error.URLError, OSError, ValueError) as error:
        # The address may hold a token, so it is not named.
        raise Unavailable(f"the webhook did not take the alert: {error}") from error


def _notify(alert: Alert, apart: Sequence[str]) -> None:
    try:
        import apprise
    except ImportError:
        raise ConfigError(
            "alerts need the package apprise", hint="pip install 'tandem-fleet[alerts]'"
        ) from None
    service = apprise.Apprise()
    if not service.add(alert.route.to):
        raise ConfigError(
            f"apprise does not know the address of route {alert.route.name!r}",
            hint="https://github.com/caronc/apprise/wiki",
        )
    body = f"{alert.title}\n\nincident {alert.incident}, key {alert.key}"
    if apart:
        body += f"\n{', '.join(apart)} cannot be heard from here and may send this as well, with the same key."
    title = f"[{alert.severity}] {alert.stage}"
    if not service.notify(body=body, title=title, notify_type=_kind(alert, apprise.NotifyType)):
        raise Unavailable(f"route {alert.route.name!r} did not take the alert")


def _kind(alert: Alert, kinds: type[apprise.NotifyType]) -> apprise.NotifyType:
    if alert.stage == "resolved":
        return kinds.SUCCESS
    return {"critical": kinds.FAILURE, "error": kinds.FAILURE, "warning": kinds.WARNING}.get(
        str(alert.severity), kinds.INFO
    )
