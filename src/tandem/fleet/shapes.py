"""Three shapes, one loader: the two earlier shapes are rewritten into ours before anything is judged.

``agent_groups:`` maps groups to agents (the main computer's file), ``pc2_services:`` lists agents (the second
computer's). Rewritten values keep the place they were written at, so messages point into the old file. What has
no meaning here is kept under ``x-legacy`` and listed, never dropped.
"""

from __future__ import annotations

import shlex

from msgspec import Struct, field, structs

from tandem.fleet.diagnostics import Path, Report, Span, did_you_mean
from tandem.fleet.document import AgentDoc, FleetDoc
from tandem.fleet.source import Data, Entry, Mapping, Scalar, Sequence, Value

NESTED, FLAT = "agent_groups", "pc2_services"
KEPT = "x-legacy"

_PC2_GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("monitoring", ("observability", "healthmonitor", "performance")),
    ("web_services", ("filesystem", "remote", "web")),
    ("ai_reasoning", ("vision", "dream", "tutor")),
    ("memory_services", ("memory", "cache", "contextmanager", "experience")),
)
"""The five groups of the second computer by words in agents' names; ``infrastructure`` takes the rest."""

_RENAMED = {
    "dependencies": "needs",
    "config": "settings",
    "environment": "env",
    "env_vars": "env",
    "startup_timeout": "start_timeout_s",
    "has_error_bus": "error_bus",
}
_HEALTH_KEYS = {"interval_seconds": "every_s", "timeout_seconds": "timeout_s", "retries": "failures"}


class Kept(Struct, frozen=True):
    """A legacy key without a meaning here: where it now lives and the line it was written on."""

    path: str
    line: int


class Shaped(Struct):
    """A document in our shape; ``legacy`` tells that it was rewritten, ``kept`` what went to ``x-legacy``."""

    document: Mapping
    legacy: bool = False
    kept: list[Kept] = field(default_factory=list)


def shape(root: Value, name: str, report: Report) -> Shaped | None:
    """``root`` in our shape, or None after reporting that it is none of the three. ``name`` names a legacy fleet."""
    if not isinstance(root, Mapping):
        report.error(
            "shape", "a fleet file is a mapping (key: value)", root.span, suggestion="Start with: fleet: name"
        )
        return None
    older = NESTED in root.entries or FLAT in root.entries
    if older and "groups" not in root.entries:
        return _Rewriter(_modern(root), name, report).rewrite()
    known = [info.encode_name for info in structs.fields(FleetDoc)]
    if not any(key in known for key in root.entries):
        hint = next(filter(None, (did_you_mean(key, [*known, NESTED, FLAT]) for key in root.entries)), "")
        expected = f'Expected "fleet:" and "groups:" (or the older "{NESTED}:" or "{FLAT}:").'
        report.error("shape", "this is not a fleet file", root.span, suggestion=f"{hint} {expected}".strip())
        return None
    return Shaped(root)


class _Rewriter:
    """Builds our document from a legacy one, sharing its values and places."""

    def __init__(self, root: Mapping, name: str, report: Report):
        self._root = root
        self._name = name
        self._report = report
        self._kept: list[Kept] = []
        self._groups = Mapping(root.span)
        self._members: dict[str, Mapping] = {}
        self._machines = Mapping(root.span)

    def rewrite(self) -> Shaped:
        top = Mapping(self._root.span)
        leftovers = Mapping(self._root.span)
        defaults = Mapping(self._root.span)
        for key, entry in self._root.entries.items():
            if key == NESTED:
                self._nested(entry)
            elif key == FLAT:
                self._flat(entry)
            elif key == "global_settings" and isinstance(entry.value, Mapping):
                self._global_settings(entry, entry.value, defaults, leftovers)
            elif key == "health_checks" and isinstance(entry.value, Mapping):
                self._health(entry, entry.value, defaults, leftovers)
            elif key.startswith("x-"):
                top.entries[key] = entry
            else:
                self._keep(leftovers, (KEPT, key), entry)
        if self._members and "probe" not in defaults.entries:
            _put(defaults, "probe", _scalar("zmq", self._root.span))
        for machine in self._machines.entries.values():
            if defaults.entries and isinstance(machine.value, Mapping):
                _put(machine.value, "defaults", defaults)
        _put(top, "fleet", _scalar(self._name, self._root.span))
        _put(top, "machines", self._machines)
        _put(top, "groups", self._groups)
        if leftovers.entries:
            _put(top, KEPT, leftovers)
        return Shaped(top, True, self._kept)

    def _nested(self, entry: Entry) -> None:
        self._machine("mainpc", "MAINPC_IP", entry.key_span)
        if not isinstance(entry.value, Mapping):
            self._groups.entries["agents"] = entry
            return
        for group, body in entry.value.entries.items():
            if group.startswith("x-"):
                self._groups.entries[group] = body
                continue
            agents = self._group(group, "mainpc", body.key_span)
            if not isinstance(body.value, Mapping):
                self._groups.entries[group] = body
                continue
            for name, agent in body.value.entries.items():
                agents.entries[name] = Entry(agent.key_span, self._agent(agent.value, (group, name)))

    def _flat(self, entry: Entry) -> None:
        self._machine("pc2", "PC2_IP", entry.key_span)
        items = entry.value.items if isinstance(entry.value, Sequence) else [entry.value]
        for at, item in enumerate(items):
            found = item.get("name") if isinstance(item, Mapping) else None
            name = found.text if isinstance(found, Scalar) else f"{FLAT}[{at}]"
            said = item.get("group") if isinstance(item, Mapping) else None
            group = said.text if isinstance(said, Scalar) else pc2_group(name)
            agents = self._group(group, "pc2", entry.key_span)
            key_span = found.span if found is not None else item.span
            if name in agents.entries:
                first = self._report.related("first listed here", agents.entries[name].key_span)
                self._report.error(
                    "duplicate-agent",
                    f'the agent "{name}" is listed twice',
                    key_span,
                    path=(FLAT, at),
                    related=(first,),
                )
                continue
            agents.entries[name] = Entry(key_span, self._agent(item, (group, name)))

    def _group(self, group: str, machine: str, span: Span) -> Mapping:
        """The agents of ``group``, which is made on first use."""
        if group not in self._members:
            self._members[group] = Mapping(span)
            body = Mapping(span)
            _put(body, "machine", _scalar(machine, span))
            _put(body, "agents", self._members[group])
            _put(self._groups, group, body)
        return self._members[group]

    def _machine(self, name: str, variable: str, span: Span) -> None:
        machine = Mapping(span)
        _put(machine, "host", Scalar(span, f"${{{variable}}}", f"${{{variable}}}"))
        self._machines.entries[name] = Entry(span, machine)

    def _agent(self, value: Value, where: tuple[str, str]) -> Value:
        if not isinstance(value, Mapping):
            return value
        agent, leftovers = Mapping(value.span), Mapping(value.span)
        for key, entry in value.entries.items():
            ours = _RENAMED.get(key, key)
            if key in ("name", "group"):
                continue
            if key == "script_path" and isinstance(entry.value, Scalar):
                self._script(agent, entry, value.get("command_args"), where)
            elif key in ("health_check_port", "health_port"):
                _put(
                    agent, "side_ports", Mapping(entry.value.span, {"health": _ported(entry)}), entry.key_span
                )
            elif key in ("port", "shared_host_port"):
                agent.entries[key] = _ported(entry)
            elif key == "restart_policy" and isinstance(entry.value, Scalar):
                text = "always" if entry.value.text == "unless-stopped" else entry.value.text
                agent.entries["restart"] = Entry(entry.key_span, _scalar(text, entry.value.span))
            elif ours in _AGENT_KEYS and ours not in agent.entries:
                agent.entries[ours] = entry
            elif not (key == "command_args" and "script_path" in value.entries):
                self._keep(leftovers, ("groups", where[0], "agents", where[1], KEPT, key), entry)
        if leftovers.entries:
            _put(agent, KEPT, leftovers)
        return agent

    def _script(self, agent: Mapping, entry: Entry, arguments: Value | None, where: tuple[str, str]) -> None:
        """A script becomes a command; its arguments may be one text or a list."""
        span = entry.value.span
        words: list[Value] = [_scalar("python", span), entry.value]
        if isinstance(arguments, Sequence):
            words += arguments.items
        elif isinstance(arguments, Scalar):
            try:
                words += [_scalar(word, arguments.span) for word in shlex.split(arguments.text)]
            except ValueError as error:
                path = ("groups", where[0], "agents", where[1], "command")
                said = str(error)[:1].lower() + str(error)[1:]
                self._report.error("command-args", f"these arguments cannot be told apart: {said}", arguments.span, path=path)
        agent.entries["command"] = Entry(entry.key_span, Sequence(span, words))

    def _global_settings(self, entry: Entry, body: Mapping, defaults: Mapping, leftovers: Mapping) -> None:
        rest = Mapping(body.span)
        for key, inner in body.entries.items():
            if key == "environment" and isinstance(inner.value, Mapping):
                defaults.entries["env"] = inner
            elif key == "health_checks" and isinstance(inner.value, Mapping):
                self._health(inner, inner.value, defaults, rest)
            else:
                self._keep(rest, (KEPT, "global_settings", key), inner)
        if rest.entries:
            leftovers.entries["global_settings"] = Entry(entry.key_span, rest)

    def _health(self, entry: Entry, body: Mapping, defaults: Mapping, leftovers: Mapping) -> None:
        """``health_checks`` holds the rhythm of probes and the start-up grace."""
        probe, rest = Mapping(body.span), Mapping(body.span)
        for key, inner in body.entries.items():
            if key in _HEALTH_KEYS:
                probe.entries[_HEALTH_KEYS[key]] = inner
            elif key == "start_period_seconds":
                defaults.entries["start_timeout_s"] = inner
            else:
                self._keep(rest, (KEPT, "health_checks", key), inner)
        if probe.entries:
            _put(probe, "zmq", _scalar("health", entry.key_span))
            defaults.entries["probe"] = Entry(entry.key_span, probe)
        if rest.entries:
            leftovers.entries["health_checks"] = Entry(entry.key_span, rest)

    def _keep(self, leftovers: Mapping, path: Path, entry: Entry) -> None:
        leftovers.entries[str(path[-1])] = entry
        self._kept.append(Kept(".".join(str(step) for step in path), entry.key_span.line))


_AGENT_KEYS = frozenset(info.encode_name for info in structs.fields(AgentDoc))


_OLD_WORDS = {"yes": True, "on": True, "no": False, "off": False}


def _modern(mapping: Mapping) -> Mapping:
    """``mapping`` with YAML 1.1's boolean words made plain: the older files were read by that version."""
    return Mapping(
        mapping.span,
        {key: Entry(entry.key_span, _modern_value(entry.value)) for key, entry in mapping.entries.items()},
    )


def _modern_value(value: Value) -> Value:
    if isinstance(value, Mapping):
        return _modern(value)
    if isinstance(value, Sequence):
        return Sequence(value.span, [_modern_value(item) for item in value.items])
    truth = _OLD_WORDS.get(value.text.lower()) if value.plain else None
    return value if truth is None else Scalar(value.span, str(truth).lower(), truth)


def pc2_group(name: str) -> str:
    """The group of one of the second computer's agents, which its list does not name."""
    folded = name.lower().replace("_", "")
    for group, words in _PC2_GROUPS:
        if any(word in folded for word in words):
            return group
    return "infrastructure"


def _ported(entry: Entry) -> Entry:
    """``${PORT_OFFSET}+7200`` is ``7200`` here, where the offset moves every port anyway."""
    value = entry.value
    if isinstance(value, Scalar) and value.text.replace(" ", "").startswith("${PORT_OFFSET}+"):
        digits = value.text.split("+", 1)[1].strip()
        if digits.isdigit():
            return Entry(entry.key_span, Scalar(value.span, digits, int(digits)))
    return entry


def _scalar(data: Data, span: Span) -> Scalar:
    return Scalar(span, str(data), data)


def _put(mapping: Mapping, key: str, value: Value, key_span: Span | None = None) -> None:
    mapping.entries[key] = Entry(key_span or value.span, value)
