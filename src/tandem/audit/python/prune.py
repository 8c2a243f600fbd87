"""Leaving out of a module's socket facts what cannot carry a socket; most assignments cannot."""

from __future__ import annotations

import re

from tandem.audit.python.facts import Flow

_CARRIER = re.compile(
    r"sock|ctx|context|zmq|conn|client|channel|peer|poll|pool|pub|sub|req|rep|push|pull|return", re.I
)
"""Names under which sockets travel; a connected piece without any of them, a site or a receive is dropped."""


def prune(flow: Flow) -> Flow:
    """``flow`` without the connected pieces that hold no site, no receive and no telling name."""
    parents: dict[str, str] = {}

    def find(place: str) -> str:
        root = place
        while parents.setdefault(root, root) != root:
            root = parents[root]
        while parents[place] != root:
            parents[place], place = root, parents[place]
        return root

    def join(places: list[str]) -> None:
        first = ""
        for place in places:
            base = place.replace("[]", "")
            if base and not base.endswith(("::self", "::super")):
                first = first or find(base)
                parents[find(base)] = find(first)

    for target, source in flow.edges:
        join([target, source])
    for site in flow.sites:
        join([site.place, site.context])
    for call in flow.calls:
        join([call.result, call.receiver, *call.arguments, *(place for _, place in call.keywords)])
    wanted = {find(place.replace("[]", "")) for place in flow.bounded if place}
    wanted |= {find(item.place.replace("[]", "")) for item in flow.receives if item.place}
    wanted |= {find(site.place) for site in flow.sites if site.kind != "instance"}
    wanted |= {find(place) for place in list(parents) if _CARRIER.search(place.rpartition("::")[2])}
    wanted |= {find(call.result) for call in flow.calls if _CARRIER.search(call.callee)}

    def kept(place: str) -> bool:
        return find(place.replace("[]", "")) in wanted if place else False

    return Flow(
        edges=sorted({edge for edge in flow.edges if kept(edge[0])}),
        sites=[site for site in flow.sites if kept(site.place)],
        calls=[call for call in flow.calls if kept(call.result)],
        bounded=sorted({place for place in flow.bounded if place}),
        receives=flow.receives,
        parameters=flow.parameters,
    )
