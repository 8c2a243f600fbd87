"""The two shapes old fleets were declared in, read into one.

``agent_groups:`` maps group → agent → settings; ``pc2_services:`` (any ``*_services`` or ``agents`` list) is a flat
list of settings with a ``name``. Both are read tolerantly: what is missing is empty, what is wrong is kept as text.
"""

from __future__ import annotations

import ipaddress
import json
import re
from collections.abc import Iterator

from msgspec import Struct

from tandem.audit.fleet.positions import Broken, Spot, Value, document, duplicate_keys

_MARK = re.compile(r"agent_groups|\b\w+_services\b|script_path|health_check_port")
_PORT = re.compile(r"^\$\{?PORT_OFFSET(?::-\d*)?\}?\s*\+\s*(\d+)$|^(\d+)$|^\$\{\w+:-(\d+)\}$")
_LIST_KEY = re.compile(r"^(\w+_services|services|agents|\w+_agents)$")


class Field(Struct, frozen=True):
    """A value as written, and where."""

    text: str
    spot: Spot

    @property
    def port(self) -> int | None:
        """The port number, of ``7200``, ``${PORT_OFFSET}+7200`` and ``${PORT:-7200}``; None for anything else."""
        match = _PORT.match(self.text.strip())
        return int(next(group for group in match.groups() if group)) if match else None


class Declared(Struct, frozen=True, kw_only=True):
    """One agent of one configuration. ``machine`` is the computer it runs on, as far as the file tells."""

    name: str
    path: str
    spot: Spot
    machine: str
    group: str = ""
    script: Field | None = None
    port: Field | None = None
    health_port: Field | None = None
    needs: tuple[Field, ...] = ()
    ports: tuple[Field, ...] = ()
    fields: dict[str, str] = {}


class FleetFile(Struct):
    """A configuration that declares agents; ``broken`` when it cannot be read."""

    path: str
    shape: str
    agents: list[Declared] = []
    broken: Broken | None = None
    duplicates: list[tuple[str, Spot, Spot]] = []
    ranges: tuple[tuple[int, int], ...] = ()
    group_needs: dict[str, tuple[Field, ...]] = {}


def looks_like_fleet(text: str) -> bool:
    """Whether it is worth reading as a configuration that declares agents."""
    return _MARK.search(text) is not None


def read_fleet_file(path: str, text: str, *, explicit: bool = False) -> FleetFile | None:
    """The agents ``path`` declares; None when it is no such configuration."""
    if not explicit and not looks_like_fleet(text):
        return None
    try:
        root = document(text)
    except Broken as error:
        return None if _is_json(text) else FleetFile(path, "unreadable", broken=error)
    if root is None or not root.is_mapping:
        return None
    machine = _machine(path, root)
    file = FleetFile(path, "", duplicates=list(duplicate_keys(root)), ranges=_ranges(root))
    groups = root.get("agent_groups")
    if groups is not None:
        file.shape = "groups"
        for group, _, members in groups.pairs():
            file.agents.extend(_group(path, machine or "mainpc", group, members))
            needs = members.get("dependencies") or members.get("depends_on")
            if needs is not None and needs.is_list:
                file.group_needs[group] = tuple(Field(name, spot) for name, spot in needs.texts())
    for key, _, value in root.pairs():
        if _LIST_KEY.match(key) and value.is_list:
            listed = [item for item in value.items() if item.get("name") is not None and _declares(item)]
            default = key.removesuffix("_services").removesuffix("_agents") if "_" in key else "mainpc"
            file.shape = file.shape or ("list" if listed else "")
            file.agents.extend(
                _agent(path, machine or default, "", _text(item, "name"), item.spot, item) for item in listed
            )
    return file if file.shape else None


def _is_json(text: str) -> bool:
    """JSON that YAML refuses, for its surrogate escapes; such a file is data, not a broken configuration."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _declares(item: Value) -> bool:
    return any(item.get(key) is not None for key in ("script_path", "script", "port", "health_check_port"))


def _group(path: str, machine: str, group: str, members: Value) -> Iterator[Declared]:
    inner = members.get("agents")
    if inner is not None and (inner.is_mapping or inner.is_list):
        members = inner
    for name, spot, value in members.pairs():
        if value.is_mapping and name not in ("config", "resources"):
            yield _agent(path, machine, group, name, spot, value)
    for item in members.items():
        if item.get("name") is not None:
            yield _agent(path, machine, group, _text(item, "name"), item.spot, item)


def _agent(path: str, machine: str, group: str, name: str, spot: Spot, value: Value) -> Declared:
    needs = value.get("dependencies") or value.get("depends_on") or value.get("needs")
    extra = tuple(
        Field(inner.text, inner.spot)
        for key, _, inner in value.pairs()
        if key.endswith("_port") and key not in ("health_check_port", "health_port") and inner.text
    )
    return Declared(
        name=name,
        path=path,
        spot=spot,
        machine=_host(value) or machine,
        group=group,
        script=_field(value, "script_path", "script"),
        port=_field(value, "port"),
        health_port=_field(value, "health_check_port", "health_port"),
        needs=tuple(Field(text, where) for text, where in needs.texts()) if needs is not None else (),
        ports=extra,
        fields={key: inner.text for key, _, inner in value.pairs() if inner.text},
    )


def _field(value: Value, *names: str) -> Field | None:
    for name in names:
        found = value.get(name)
        if found is not None and found.text:
            return Field(found.text, found.spot)
    return None


def _text(value: Value, name: str) -> str:
    found = value.get(name)
    return found.text if found is not None else ""


def _host(value: Value) -> str:
    """The computer an agent names for itself; an address to listen on names none."""
    host = _text(value, "machine") or _text(value, "host")
    if not host or host.startswith("$") or host.lower() in ("localhost", "*"):
        return ""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return host.lower()
    return "" if address.is_unspecified or address.is_loopback else host


def _machine(path: str, root: Value) -> str:
    """The computer a whole file is for: what it says, else the folder it lies in (``pc2_code/config/...``)."""
    for names in (
        ("machine",),
        ("hostname",),
        ("global_settings", "machine"),
        ("global_settings", "hostname"),
    ):
        found = root.get(*names)
        if found is not None and found.text:
            return found.text.lower()
    match = re.search(r"(main_?pc|pc_?\d+)", path.lower())
    return match.group(1).replace("_", "") if match else ""


def _ranges(root: Value) -> tuple[tuple[int, int], ...]:
    """Port ranges the file sets itself: ``port_range: [5000, 9000]`` or ``port_range: 5000-9000``."""
    for names in (
        ("port_range",),
        ("port_ranges",),
        ("global_settings", "port_range"),
        ("global_settings", "port_ranges"),
    ):
        found = root.get(*names)
        if found is None:
            continue
        numbers = [int(number) for number in re.findall(r"\d+", " ".join(text for text, _ in found.texts()))]
        for item in found.items():
            numbers.extend(
                int(number)
                for number in re.findall(r"\d+", " ".join(text for text, _ in item.texts() if item.is_list))
            )
        low, high = found.get("start") or found.get("min"), found.get("end") or found.get("max")
        if low is not None and high is not None and low.text.isdigit() and high.text.isdigit():
            numbers = [int(low.text), int(high.text)]
        if len(numbers) >= 2:
            return tuple(zip(numbers[::2], numbers[1::2], strict=False))
    return ()
