"""Which sockets a receive may read from, over the whole tree.

Andersen's analysis, made small: every place has a set of objects (sockets, contexts, instances), assignments and
calls are edges along which the sets grow until nothing changes. A time-out belongs to the *object*, so setting it
through any name bounds every receive on it, whichever name that receive uses.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping

from msgspec import Struct

from tandem.audit.python.facts import Call, Flow, Receive, Site
from tandem.audit.python.index import Definition, Index


class Origin(Struct, frozen=True):
    """A socket and the file that opens it."""

    path: str
    site: Site


class Read(Struct, frozen=True):
    """A blocking receive: ``endless`` are the sockets it may wait on for ever, ``known`` all it may mean."""

    path: str
    receive: Receive
    known: tuple[Origin, ...]
    endless: tuple[Origin, ...]


Object = tuple[str, int]
"""(file, number of the site in its flow)."""


class PointsTo:
    """The solved analysis."""

    def __init__(self, flows: Mapping[str, Flow], index: Index) -> None:
        self._flows = flows
        self._index = index
        self._holds: dict[str, set[Object]] = {}
        self._targets: dict[str, set[str]] = {}
        self._fields: dict[str, set[str]] = {}
        self._dynamic: dict[str, list[tuple[str, Call]]] = {}
        self._linked: set[tuple[str, str]] = set()
        self._changed: deque[str] = deque()
        self._items: set[str] = set()
        self._build()
        self._spread()

    def site(self, item: Object) -> Site:
        return self._flows[item[0]].sites[item[1]]

    def objects(self, place: str) -> set[Object]:
        """What ``place`` may hold, subclasses' values of the same attribute included."""
        found = set(self._holds.get(self._global(place), ()))
        for below in self._below(place):
            found |= self._holds.get(below, set())
        return found

    def reads(self) -> list[Read]:
        """Every blocking receive of the tree with the sockets behind it."""
        bounded: set[Object] = set()
        for flow in self._flows.values():
            for place in flow.bounded:
                bounded |= self.objects(place)
        found = []
        for path, flow in self._flows.items():
            for receive in flow.receives:
                sockets = [
                    item for item in sorted(self.objects(receive.place)) if self.site(item).kind == "socket"
                ]
                endless = [item for item in sockets if not self._has_deadline(item, bounded)]
                found.append(Read(path, receive, self._origins(sockets), self._origins(endless)))
        return found

    def _origins(self, items: list[Object]) -> tuple[Origin, ...]:
        return tuple(Origin(item[0], self.site(item)) for item in items)

    def _has_deadline(self, item: Object, bounded: set[Object]) -> bool:
        site = self.site(item)
        if item in bounded or site.asynchronous:
            return True
        contexts = self.objects(site.context) if site.context else set()
        return any(above in bounded or self.site(above).asynchronous for above in contexts)

    # --- building ---

    def _build(self) -> None:
        for flow in self._flows.values():
            for target, source in flow.edges:
                for place in (target, source):
                    self._note(place)
            for call in flow.calls:
                for place in (
                    call.result,
                    call.receiver,
                    *call.arguments,
                    *(place for _, place in call.keywords),
                ):
                    self._note(place)
            for receive in flow.receives:
                self._note(receive.place)
            for place in flow.bounded:
                self._note(place)
        for flow in self._flows.values():
            for target, source in flow.edges:
                self._link(target, source)
        self._inherit()
        for path, flow in self._flows.items():
            for number, site in enumerate(flow.sites):
                self._put(self._global(site.place), {(path, number)})
            for call in flow.calls:
                self._call(path, call)

    def _note(self, place: str) -> None:
        """Remember which places are containers' contents and which are fields of something."""
        place = self._global(place)
        if place.endswith("[]"):
            self._items.add(place)
        head, separator, last = place.rpartition("::")
        base, dot, _ = last.rpartition(".")
        if separator and dot and base and not base.endswith("::"):
            self._fields.setdefault(f"{head}::{base}", set()).add(place)

    def _global(self, place: str) -> str:
        """``~importer|pkg.mod.name`` as the place of that module's global, when the tree has it."""
        if not place.startswith("~"):
            return place
        suffix = "[]" if place.endswith("[]") else ""
        importer, _, dotted = place[1:].removesuffix("[]").partition("|")
        found = self._index.resolve(dotted, importer)
        if found is None or not found.name:
            return place
        name, _, rest = found.name.partition(".")
        return f"{found.path}::::{name}{'.' + rest if rest else ''}{suffix}"

    def _link(self, target: str, source: str) -> None:
        """Everything in ``source`` is in ``target`` as well; so is what containers hold."""
        target, source = self._global(target), self._global(source)
        if not target or not source or (target, source) in self._linked or target == source:
            return
        self._linked.add((target, source))
        for origin in (source, *self._below(source)):
            self._targets.setdefault(origin, set()).add(target)
            if self._holds.get(origin):
                self._put(target, self._holds[origin])
        if (f"{target}[]" in self._items or f"{source}[]" in self._items) and target.count("[]") < 2:
            self._items.update((f"{target}[]", f"{source}[]"))
            self._link(f"{target}[]", f"{source}[]")

    def _put(self, place: str, items: set[Object]) -> None:
        held = self._holds.setdefault(place, set())
        if not items <= held:
            held |= items
            self._changed.append(place)

    def _class_of(self, place: str) -> tuple[tuple[str, str], str] | None:
        """((file, class), attribute) of an attribute place."""
        path, _, rest = place.partition("::")
        owner, _, name = rest.rpartition("::")
        if name.startswith(".") and (path, owner) in self._index.classes:
            return (path, owner), name
        return None

    def _below(self, place: str) -> list[str]:
        """The same attribute in the subclasses."""
        found = self._class_of(place)
        if found is None:
            return []
        return [f"{path}::{owner}::{found[1]}" for path, owner in self._index.descendants.get(found[0], ())]

    def _inherit(self) -> None:
        """Attributes of a base class are attributes of the subclass."""
        attributes = {
            place
            for flow in self._flows.values()
            for place in (
                *(place for edge in flow.edges for place in edge), *(item.place for item in flow.receives), *flow.bounded,
                *(site.context for site in flow.sites),
                *(place for call in flow.calls for place in (call.receiver, *call.arguments, *(v for _, v in call.keywords))),
            )
            if "::." in place
        }  # fmt: skip
        for place in attributes:
            found = self._class_of(place)
            for path, owner in self._index.ancestors(found[0]) if found is not None else ():
                above = f"{path}::{owner}::{found[1] if found else ''}"
                self._linked.add((place, above))
                self._targets.setdefault(above, set()).add(place)

    # --- calls ---

    def _call(self, path: str, call: Call) -> None:
        if call.receiver.endswith(("::self", "::super")):
            self._call_own(path, call)
        elif call.receiver and call.callee.startswith("."):
            self._dynamic.setdefault(self._global(call.receiver), []).append((path, call))
            self._changed.append(self._global(call.receiver))
        else:
            found = self._function(path, call.callee)
            if found is not None:
                self._bind(path, call, found)

    def _function(self, path: str, callee: str) -> Definition | None:
        if callee.startswith("~"):
            return self._index.resolve(callee.partition("|")[2], path)
        name = callee.lstrip("=")
        if name in self._flows[path].parameters:
            return Definition(path, name)
        nested = [known for known in self._flows[path].parameters if known.endswith(f".{name}")]
        if (path, name) not in self._index.classes and len(nested) == 1:
            return Definition(path, nested[0])
        return self._index.resolve(name, path)

    def _call_own(self, path: str, call: Call) -> None:
        owner = call.receiver.partition("::")[2].rpartition("::")[0]
        key, name = (path, owner), call.callee[1:]
        if key not in self._index.classes:
            return
        if call.receiver.endswith("::super"):
            for above in self._index.ancestors(key):
                if name in self._index.classes[above].methods:
                    self._bind_method(call, (above[0], f"{above[1]}.{name}"))
                    return
            return
        for candidate in (key, *self._index.descendants.get(key, ())):
            found = self._index.method(candidate, name)
            if found is not None:
                self._bind_method(call, found)

    def _bind(self, path: str, call: Call, found: Definition) -> None:
        if (found.path, found.name) in self._index.classes:
            self._instantiate(path, call, found)
        else:
            self._bind_method(call, (found.path, found.name))

    def _instantiate(self, path: str, call: Call, found: Definition) -> None:
        flow = self._flows[path]
        flow.sites.append(Site("instance", call.result, 0, 0, f"{found.path}::{found.name}"))
        self._put(call.result, {(path, len(flow.sites) - 1)})
        constructor = self._index.method((found.path, found.name), "__init__")
        if constructor is not None:
            self._bind_method(call, constructor, returns=False)

    def _bind_method(self, call: Call, method: tuple[str, str], *, returns: bool = True) -> None:
        path, qualname = method
        flow = self._flows.get(path)
        names = flow.parameters.get(qualname) if flow is not None else None
        if names is None:
            return
        if returns:
            self._link(call.result, f"{path}::{qualname}::return")
        for name, place in (*zip(names, call.arguments, strict=False), *call.keywords):
            if place and name in names:
                self._link(f"{path}::{qualname}::{name}", place)

    # --- solving ---

    def _spread(self) -> None:
        while self._changed:
            place = self._changed.popleft()
            held = self._holds.get(place, set())
            for target in tuple(self._targets.get(place, ())):
                self._put(target, held)
            for owner in self._instances(place, held):
                for field in tuple(self._fields.get(place, ())):
                    attribute = f"{owner[0]}::{owner[1]}::.{field.rpartition('.')[2]}"
                    self._link(field, attribute)
                    self._link(attribute, field)
                for _, call in self._dynamic.get(place, ()):
                    found = self._index.method(owner, call.callee[1:])
                    if found is not None:
                        self._bind_method(call, found)

    def _instances(self, place: str, held: set[Object]) -> list[tuple[str, str]]:
        """The classes of the tree whose instances ``place`` may hold."""
        found = []
        for item in held:
            site = self.site(item)
            if site.kind != "instance":
                continue
            path, separator, name = site.detail.partition("::")
            if separator:
                found.append((path, name))
            else:
                definition = self._index.resolve(site.detail, item[0])
                if definition is not None and (definition.path, definition.name) in self._index.classes:
                    found.append((definition.path, definition.name))
        return found
