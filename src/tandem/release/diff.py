"""What a new fleet file or new code means for each agent. Pure: nothing is looked up and nothing is touched."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from tandem.core.errors import ConfigError
from tandem.fleet.model import AgentConfig, Fleet, MachineConfig
from tandem.supervise.rollout import How

QUIET = frozenset({
    "description", "required", "needs", "wants", "start_timeout_s", "stop_grace_s", "restart", "on_dependency",
    "update", "vram_mb",
})  # fmt: skip
"""Keys the process itself never sees: supervision takes them up as they are."""

_SHOWN_FILES = 3


class FieldChange(Struct, frozen=True):
    """One key of an agent's entry, as plain data."""

    key: str
    old: Any
    new: Any


class Change(Struct, frozen=True, kw_only=True):
    """What happens to one agent (an identity), how, and why in this way. ``files``: changed code it uses."""

    agent: str
    kind: Literal["added", "removed", "changed"]
    how: How
    why: str
    fields: list[FieldChange] = []
    files: list[str] = []

    @property
    def reasons(self) -> list[str]:
        """What has changed, in words."""
        words = [f"{field.key}: {_shown(field.old)} -> {_shown(field.new)}" for field in self.fields]
        if self.files:
            more = len(self.files) - _SHOWN_FILES
            words.append(
                ", ".join(self.files[:_SHOWN_FILES]) + (f" and {more} more files" if more > 0 else "")
            )
        return words


class Room(Struct, frozen=True):
    """Memory of one machine that a second instance may take: MiB free, and MiB of its GPU nobody has declared."""

    memory_mb: int | None = None
    gpu_mb: int | None = None


def require_same_ground(old: Fleet, new: Fleet, machine: str) -> None:
    """Raises :class:`ConfigError` for a change no rollout can make: the machine's own servers and addresses."""
    before, after = old.machines.get(machine), new.machines.get(machine)
    if after is None or before is None:
        raise ConfigError(f"machine {machine} is not in both fleet files", hint="tandem down, then tandem up")
    if moved := [key for key in ("host", "infra") if _differs(before, after, key)]:
        raise ConfigError(
            f"{' and '.join(moved)} of machine {machine} changed; its servers would have to move",
            hint="tandem down, then tandem up",
        )


def _differs(before: MachineConfig, after: MachineConfig, key: str) -> bool:
    return bool(getattr(before, key) != getattr(after, key))


def compare(
    old: Fleet, new: Fleet, machine: str, files: Mapping[str, list[str]], room: Room | None = None
) -> list[Change]:
    """Every change of one machine, in the order of the file, removed agents last.

    ``files``: identity to changed code it uses.
    """
    before = {str(agent.id): agent for agent in old.on(machine)}
    after = {str(agent.id): agent for agent in new.on(machine)}
    found = [
        change
        for identity, config in after.items()
        if (
            change := _change(
                before.get(identity), config, files.get(identity, []), room or Room(), _callers(old, new, identity)
            )
        )
        is not None
    ]
    gone = [
        Change(agent=identity, kind="removed", how="stop", why="it is not in the fleet file any more")
        for identity in before
        if identity not in after
    ]
    return found + gone


def _callers(old: Fleet, new: Fleet, identity: str) -> list[FieldChange]:
    """Who may call an agent, when that changed although its ``allow`` did not: a group, or a name, means others now."""
    was, now = old.agents.get(identity), new.agents.get(identity)
    if was is None or now is None or was.allow != now.allow:
        return []
    before, after = sorted(old.callers_of(was)), sorted(new.callers_of(now))
    return [FieldChange("allow", before, after)] if before != after else []


def _change(
    old: AgentConfig | None, new: AgentConfig, files: list[str], room: Room, callers: list[FieldChange]
) -> Change | None:
    identity = str(new.id)
    if old is None:
        return Change(agent=identity, kind="added", how="start", why="it is new in the fleet file")
    fields = [
        FieldChange(key, msgspec.to_builtins(was), msgspec.to_builtins(now))
        for key in new.__struct_fields__
        if (was := getattr(old, key)) != (now := getattr(new, key))
    ] + callers
    if not fields and not files:
        return None
    if not files and all(field.key in QUIET for field in fields):
        return Change(
            agent=identity,
            kind="changed",
            how="adopt",
            why="its process does not see the difference",
            fields=fields,
        )
    how, why = way_of(old, new, room)
    return Change(agent=identity, kind="changed", how=how, why=why, fields=fields, files=files)


def way_of(old: AgentConfig, new: AgentConfig, room: Room) -> tuple[How, str]:
    """How the old process gives way to the new one, and why so."""
    if new.update == "stop-first" and new.command is None:
        return "stop-first", "the fleet file says so"
    if old.command is not None or new.command is not None:
        return "stop-first", "a program of its own holds its ports itself"
    if old.port != new.port:
        return "stop-first", "its address changes"
    if (old.update == "surge") != (new.update == "surge"):
        return "stop-first", "it becomes or ceases to be an agent that must be single"
    if new.vram_mb and room.gpu_mb is not None and new.vram_mb > room.gpu_mb:
        return "stop-first", f"two of it need {new.vram_mb} MiB more of GPU memory, {room.gpu_mb} are left"
    needed = new.limits.memory_mb
    if needed is not None and room.memory_mb is not None and needed > room.memory_mb:
        return "stop-first", f"two of it may need {needed} MiB more of memory, {room.memory_mb} are free"
    if new.update == "handover":
        return "handover", "must be single: the new one starts when the old one has let go"
    return "surge", "may run twice: the new one stands by until it is well"


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= 60 else f"{text[:57]}..."
