"""One agent's entry against the defaults of its group and fleet."""

from __future__ import annotations

import re
from typing import Any

from tandem.core.ids import AgentId
from tandem.fleet.diagnostics import Path
from tandem.fleet.document import AgentDoc, PolicyDoc
from tandem.fleet.draft import Context, Draft
from tandem.fleet.model import AgentConfig, Launch, Probe, RestartPolicy
from tandem.fleet.probe import needs_port, resolve_probe

_CLASS = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")


def snake_case(name: str) -> str:
    """``STTService`` → ``stt_service``, ``TinyLlamaServiceEnhanced`` → ``tiny_llama_service_enhanced``."""
    return _CAMEL.sub("_", name).lower()


Layer = tuple[PolicyDoc, Path]
"""A place that may set a key: what it says, and where it stands."""


class AgentEntry:
    """Resolves one agent's entry; ``defaults`` are consulted in order for what it does not say."""

    def __init__(
        self, doc: AgentDoc, path: Path, defaults: tuple[Layer, ...], draft: Draft, context: Context
    ):
        self._doc = doc
        self._path = path
        self._layers: tuple[Layer, ...] = ((doc, path), *defaults)
        self._draft = draft
        self._context = context

    def resolve(self, name: str, machine: str, group: str, package: str | None) -> None:
        doc = self._doc
        identity = str(AgentId.of(name, machine))
        side_ports = self._side_ports()
        port = self._port(identity)
        is_command = doc.command is not None
        config = AgentConfig(
            name=name,
            machine=machine,
            group=group,
            class_path=self._class_path(name, package),
            command=doc.command,
            cwd=doc.cwd,
            description=doc.description,
            port=port,
            speaks=doc.speaks,
            side_ports=side_ports,
            needs=doc.needs,
            wants=doc.wants,
            settings=doc.settings,
            env=self._env(),
            launch=self._launch(is_command),
            required=self._pick("required"),
            start_timeout_s=self._pick("start_timeout_s"),
            stop_grace_s=self._pick("stop_grace_s"),
            restart=_restart(self._pick("restart")),
            on_dependency=self._pick("on_dependency"),
            probe=self._probe(is_command, port, side_ports),
            update=self._pick("update") or ("stop-first" if is_command else "surge"),
            user=self._pick("user"),
            vram_mb=doc.vram_mb,
            limits=self._pick("limits"),
            detached=doc.detached,
            allow=self._pick("allow"),
            error_bus=self._pick("error_bus"),
            observer=doc.observer,
        )
        self._draft.fleet.agents[identity] = config

    def _pick(self, key: str) -> Any:
        """The value of ``key`` from the entry itself, else from the nearest defaults that set it."""
        for doc, path in self._layers:
            if hasattr(doc, key) and (*path, key) in self._context.places:
                return getattr(doc, key)
        return getattr(self._doc, key)

    def _error(self, code: str, message: str, key: str, suggestion: str = "") -> None:
        path = (*self._path, key)
        span = (
            self._context.span(*path) if path in self._context.places else self._context.key_span(*self._path)
        )
        self._context.report.error(code, message, span, path=path, suggestion=suggestion)

    def _class_path(self, name: str, package: str | None) -> str | None:
        written = self._doc.class_
        if self._doc.command is not None:
            if written is not None:
                self._error("wrong-value", "an agent has a class or a command, not both", "command")
            return None
        if written is None:
            if package is None and (*self._path, "class") not in self._context.places:
                advice = f'Write class: package.module:{name}, or give the group a "package:".'
                self._error("missing-key", f'"{name}" has neither a class nor a command', "class", advice)
            return f"{package}.{snake_case(name)}:{name}"
        path = f"{package or ''}{written}" if written.startswith(".") else written
        if not _CLASS.fullmatch(path):
            self._error(
                "wrong-value", f'"{written}" does not name a class', "class", "Write package.module:Class."
            )
        return path

    def _launch(self, is_command: bool) -> Launch:
        chosen: Launch | None = self._pick("launch")
        if is_command and chosen == "fork" and (*self._path, "launch") in self._context.places:
            self._error("wrong-value", "a command cannot be forked from the zygote", "launch", "Remove it.")
        return "exec" if is_command else chosen or "fork"

    def _env(self) -> dict[str, str]:
        merged: dict[str, str] = {}
        for doc, _ in reversed(self._layers):
            merged.update(doc.env)
        return merged

    def _port(self, identity: str) -> int | None:
        shared = self._doc.shared_host_port
        key, base = "port", self._doc.port
        if shared is not None and self._draft.fleet.shares_host(AgentId(identity).machine):
            key, base = "shared_host_port", shared
        if base == "auto":
            self._draft.auto_ports.append(identity)
            return None
        return self._context.moved(int(base), (*self._path, key)) if base is not None else None

    def _side_ports(self) -> dict[str, int]:
        moved = {
            name: self._context.moved(base, (*self._path, "side_ports", name))
            for name, base in self._doc.side_ports.items()
        }
        return {name: port for name, port in moved.items() if port is not None}

    def _probe(self, is_command: bool, port: int | None, side_ports: dict[str, int]) -> Probe | None:
        """The entry's probe must make sense; one from defaults passes by agents it does not fit."""
        written = self._pick("probe")
        own = (*self._path, "probe") in self._context.places
        if written is None:
            return None
        if not is_command:
            if own:
                advice = "Agents with a class report their own health; remove it."
                self._error("wrong-value", "a probe belongs to a command", "probe", advice)
            return None
        if not own and port is None and not side_ports and needs_port(written):
            return None
        return resolve_probe(written, port, side_ports, self._context.offset, self._complain_about_probe)

    def _complain_about_probe(self, message: str, advice: str) -> None:
        self._error("wrong-value", message, "probe", advice)


def _restart(written: Any) -> RestartPolicy:
    return written if isinstance(written, RestartPolicy) else RestartPolicy(when=written)
