"""In which order and how many at once. Pure."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tandem.core.errors import NotFound
from tandem.core.ids import AgentId
from tandem.fleet.diagnostics import did_you_mean
from tandem.fleet.model import Fleet
from tandem.fleet.plan import levels
from tandem.release.diff import Change
from tandem.supervise.rollout import Kind, Step


def batches(
    changes: Sequence[Change],
    fleet: Fleet,
    kind: Kind,
    size: int | None = None,
    canaries: Collection[str] = (),
) -> list[list[Step]]:
    """The steps of one machine. What an agent needs comes no later than the agent itself; what is taken away, last.

    ``rolling``: so many at once as ``size`` says, by default a quarter of all. ``blue-green``: group by group.
    ``canary``: first ``canaries`` (identities; by default one agent that can serve beside its predecessor), then the
    rest. Raises :class:`NotFound` for a canary that does not change.
    """
    order = [name for level in levels({str(a.id): a.needs for a in fleet.agents.values()}) for name in level]
    ranked = {name: rank for rank, name in enumerate(order)}
    moving = [change for change in changes if change.how not in ("stop", "adopt")]
    moving.sort(key=lambda change: ranked.get(change.agent, len(ranked)))
    last = [change for change in changes if change.how in ("stop", "adopt")]
    groups: list[list[Change]] = []
    if kind == "canary":
        first = _canaries(moving, canaries)
        groups.append(first)
        moving = [change for change in moving if change not in first]
    if kind == "blue-green":
        by_group: dict[str, list[Change]] = {}
        for change in moving:
            by_group.setdefault(fleet.agents[change.agent].group, []).append(change)
        groups += by_group.values()
    else:
        each = size or max(1, -(-len(moving) // 4))
        groups += [moving[at : at + each] for at in range(0, len(moving), each)]
    groups.append(last)
    return [[Step(AgentId(c.agent).name, c.how, c.why) for c in group] for group in groups if group]


def _canaries(moving: list[Change], wanted: Collection[str]) -> list[Change]:
    if not wanted:
        able = [change for change in moving if change.how == "surge"]
        return (able or moving)[:1]
    known = {change.agent for change in moving} | {AgentId(change.agent).name for change in moving}
    for name in wanted:
        if name not in known:
            raise NotFound(
                f"{name} does not change", hint=did_you_mean(name, known) or "tandem plan shows what does"
            )
    return [change for change in moving if change.agent in wanted or AgentId(change.agent).name in wanted]
