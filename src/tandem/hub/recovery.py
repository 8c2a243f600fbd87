"""What to try for an agent that is in trouble, in widening tiers, within a budget, remembering what helped. Pure.

Supervision and recovery share no agent at any moment. Whoever dies is supervision's: it starts him again, later and
later, then his group, then calls the operator. Whoever lives and says that he cannot do his job is ours. One who went on
dying until the operator was called comes to us for the one thing supervision does not try, which is to set his state
aside. What the operator has stopped, and everybody while a rollout is under way, is nobody's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Literal

from msgspec import Meta, Struct

from tandem.hub.picture import AgentPicture
from tandem.hub.predict import Forecast

Tier = Literal["agent", "state", "dependants", "group"]
TIERS: tuple[Tier, ...] = ("agent", "state", "dependants", "group")
Trouble = Literal["", "unhealthy", "dying"]
Outcome = Literal["helped", "did not help", "pending"]

TROUBLED = frozenset({"unhealthy", "failed", "backoff"})
SERVING = frozenset({"healthy", "degraded", "unhealthy"})
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
    """``agent`` is a bare name; ``reason`` its trouble, or what was foreseen; ``targets`` what was restarted."""

    at: float
    agent: str
    reason: str
    tier: Tier
    targets: list[str]
    outcome: Outcome = "pending"


class Surroundings(Struct, frozen=True, kw_only=True):
    """Of one machine, bare names. ``dependants``: who needs an agent. ``disposable``: agents whose state may be set aside.
    ``serving``: who may be restarted for the sake of another; the rest is the operator's or supervision's.
    """

    dependants: Mapping[str, Sequence[str]]
    groups: Mapping[str, Sequence[str]]
    disposable: frozenset[str]
    serving: frozenset[str] = frozenset()


def trouble_of(agent: AgentPicture) -> Trouble:
    """What is wrong with ``agent`` that is ours to mend; empty: nothing, or it is in better hands."""
    if agent.verdict == "off":
        return ""
    if agent.state == "unhealthy":
        return "unhealthy"
    return "dying" if agent.escalated == "operator" and agent.state not in SERVING else ""


def reason_for(agent: AgentPicture, since: float, forecasts: Iterable[Forecast], now: float, budget: Budget) -> str:
    """Why something should be done about ``agent``, which has been in its trouble since then; empty: nothing."""
    if trouble := trouble_of(agent):
        return trouble if now - since >= budget.patience_s else ""
    if agent.state not in SERVING:
        return ""
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
    tier = _next_tier(agent.name, reason, own, past, _possible(agent.name, reason, around, widest))
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
    """Whom a tier restarts, the agent first; of the others only who serves."""
    match tier:
        case "agent" | "state":
            others: Sequence[str] = ()
        case "dependants":
            others = around.dependants.get(agent.name, ())
        case "group":
            others = around.groups.get(agent.group, ())
    return [agent.name, *(name for name in others if name != agent.name and name in around.serving)]


def _possible(agent: str, reason: str, around: Surroundings, widest: Tier) -> list[Tier]:
    # It was restarted often enough, and its group too.
    allowed: Sequence[Tier] = ("state",) if reason == "dying" else TIERS[: TIERS.index(widest) + 1]
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
    return helped[-1] if helped and helped[-1] in possible else next(iter(possible), None)
