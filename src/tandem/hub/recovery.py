"""What to try for an agent that is in trouble, in widening tiers, within a budget, remembering what helped. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tandem.hub.picture import AgentPicture
from tandem.hub.predict import Forecast

Tier = Literal["agent", "state", "dependants", "group"]
TIERS: tuple[Tier, ...] = ("agent", "state", "dependants", "group")
Outcome = Literal["helped", "did not help", "pending"]

TROUBLED = frozenset({"unhealthy", "failed", "backoff"})
SOON_S = 900.0
"""A limit that will be reached within a quarter of an hour is worth a restart now, at a moment we choose."""


class Budget(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Attempts within an hour, for all agents and for one; a tier gets ``settle_s`` to help; trouble is left to the
    supervisor for ``patience_s`` first."""

    per_hour: Annotated[int, Meta(ge=0, le=1000)] = 12
    per_agent: Annotated[int, Meta(ge=0, le=100)] = 4
    settle_s: Annotated[float, Meta(gt=0, le=3600)] = 60.0
    patience_s: Annotated[float, Meta(ge=0, le=86_400)] = 60.0


class Attempt(Struct, frozen=True, kw_only=True):
    """``agent`` is a bare name; ``reason`` its state, or what was foreseen; ``targets`` what was restarted."""

    at: float
    agent: str
    reason: str
    tier: Tier
    targets: list[str]
    outcome: Outcome = "pending"


class Surroundings(Struct, frozen=True, kw_only=True):
    """Of one machine, bare names. ``dependants``: who needs an agent. ``disposable``: agents whose state may be set aside."""

    dependants: Mapping[str, Sequence[str]]
    groups: Mapping[str, Sequence[str]]
    disposable: frozenset[str]


def reason_for(agent: AgentPicture, since: float, forecasts: Iterable[Forecast], now: float, budget: Budget) -> str:
    """Why something should be done about ``agent``, which has been in its state since then; empty: nothing.

    What an operator has stopped is never touched.
    """
    if agent.verdict == "off":
        return ""
    if agent.state in TROUBLED:
        return agent.state if now - since >= budget.patience_s else ""
    for forecast in forecasts:
        if forecast.agent == agent.name and forecast.quantity == "memory" and forecast.at - now <= SOON_S:
            return "memory"
    return ""


def next_attempt(
    agent: AgentPicture, reason: str, past: Sequence[Attempt], around: Surroundings, now: float, budget: Budget, widest: Tier = "group"
) -> Attempt | None:
    """The next thing to try, or None: an attempt is still settling, or nothing is left. ``past``: newest last, all agents."""
    recent = [attempt for attempt in past if now - attempt.at < 3600]
    own = [attempt for attempt in recent if attempt.agent == agent.name]
    if own and now - own[-1].at < budget.settle_s:
        return None
    if len(recent) >= budget.per_hour or len(own) >= budget.per_agent:
        return None
    tier = _next_tier(agent.name, reason, own, past, _possible(agent.name, around, widest))
    if tier is None:
        return None
    return Attempt(at=now, agent=agent.name, reason=reason, tier=tier, targets=targets(tier, agent, around))


def exhausted(agent: str, past: Sequence[Attempt], now: float, budget: Budget, widest: Tier = "group") -> bool:
    """Whether all that may be tried within the hour has been tried, and the last attempt had its time."""
    recent = [attempt for attempt in past if now - attempt.at < 3600]
    own = [attempt for attempt in recent if attempt.agent == agent]
    if not own or now - own[-1].at < budget.settle_s:
        return False
    return len(own) >= budget.per_agent or len(recent) >= budget.per_hour or own[-1].tier == widest


def targets(tier: Tier, agent: AgentPicture, around: Surroundings) -> list[str]:
    """Whom a tier restarts, the agent first."""
    match tier:
        case "agent" | "state":
            others: Sequence[str] = ()
        case "dependants":
            others = around.dependants.get(agent.name, ())
        case "group":
            others = around.groups.get(agent.group, ())
    return [agent.name, *(name for name in others if name != agent.name)]


def _possible(agent: str, around: Surroundings, widest: Tier) -> list[Tier]:
    allowed = TIERS[: TIERS.index(widest) + 1]
    return [tier for tier in allowed if tier != "state" or agent in around.disposable]


def _next_tier(
    agent: str, reason: str, own: Sequence[Attempt], past: Sequence[Attempt], possible: Sequence[Tier]
) -> Tier | None:
    """One wider than the last that did not help; at first the narrowest that helped before, else the narrowest."""
    failed = [attempt for attempt in own if attempt.reason == reason and attempt.outcome == "did not help"]
    if failed:
        wider = TIERS.index(failed[-1].tier) + 1
        return next((tier for tier in TIERS[wider:] if tier in possible), None)
    helped = [a.tier for a in past if a.agent == agent and a.reason == reason and a.outcome == "helped"]
    return helped[-1] if helped and helped[-1] in possible else possible[0]
