"""What a process is told at birth: its spec, keys, descriptors and environment. Computed anew for every launch."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from tandem.agent.spec import AgentSpec
from tandem.core.errors import ConfigError, NotFound, TandemError
from tandem.core.paths import Home, MachineDirs, check_socket_path
from tandem.core.secret_refs import is_reference
from tandem.fleet.model import AgentConfig, Fleet, Limits
from tandem.infra import ServerSpec, mend, nats_access, prepare, valkey_access
from tandem.security import Machine, Secret, SecretStore, resolve_secret
from tandem.security.authority import EPOCHS_FILE
from tandem.security.secrets import filled
from tandem.supervise.boot import fleet_directory, python_path
from tandem.supervise.release import Code
from tandem.supervise.runner import Subject
from tandem.supervise.wire import NOTIFY_FD, TCP_FD, UNIX_FD, Bounds, Doors, Exec, Fork, SpawnUnit

AGENT_ENTRY = "tandem.supervise.agent_main:main"
RESERVED = frozenset({"node", "keeper", "zygote", "nats", "valkey-control", "valkey-cache"})
"""Names of our own units; their logs and sockets would meet."""


class Launches:
    """Makes the order to the keeper for agents and servers of one machine."""

    def __init__(self, home: Home, machine: Machine, fleet: Fleet, env: dict[str, str], hidden: dict[str, str]):
        self.fleet = fleet
        self._machine = machine
        self._home = home
        self._dirs: MachineDirs = home.machine(machine.name)
        self._env = env
        self._hidden = hidden
        self._store = SecretStore(home, machine)

    @property
    def fleet(self) -> Fleet:
        """What orders are made from; a changed fleet counts from the next order on."""
        return self._fleet

    @fleet.setter
    def fleet(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._directory = fleet.directory()

    def service(self, server: ServerSpec, instance: str, last_words: Iterable[str] = ()) -> SpawnUnit:
        """Write the server's files and order it. ``last_words`` are those of the instance before."""
        mend(server, last_words)
        prepare(server)
        launch = Exec(argv=server.argv, env=self._env | server.env, cwd=server.cwd)
        return SpawnUnit(name=server.name, instance=instance, kind="service", launch=launch)

    def agent(self, subject: Subject, instance: str, zygote: str) -> SpawnUnit:
        """Order one agent. Raises :class:`ConfigError` when it cannot be made as it is written."""
        config, code = subject.config, subject.release.code
        assert config is not None
        if config.name in RESERVED:
            raise ConfigError(
                f"{config.name!r} is the name of a part of Tandem", hint="name the agent otherwise"
            )
        if config.command is not None:
            return self._program(config, instance, code)
        doors = self._doors(config)
        spec = self._spec(subject, config, instance, doors)
        payload = msgspec.msgpack.encode(spec)
        launch: Exec | Fork
        if config.launch == "exec":
            # -P: the current folder must not come before the release's own.
            argv = [code.python or sys.executable, "-P", "-m", "tandem.supervise.agent_main"]
            # The fleet's own modules are found beside its file, as in the zygote.
            beside = str(fleet_directory(self.fleet))
            # What refers to a secret is set by the agent itself: an environment can be read from outside.
            plain = {name: value for name, value in config.env.items() if not is_reference(value)}
            env = self._env | python_path(code, self._env, beside) | plain
            launch = Exec(argv=argv, env=env, cwd=self._cwd(config), payload=payload)
        elif zygote:
            launch = Fork(zygote=zygote, entry=AGENT_ENTRY, payload=payload, title=f"tandem: {config.id}")
        else:
            raise TandemError("there is no zygote to fork it from")
        return SpawnUnit(
            name=config.name,
            instance=instance,
            kind="agent",
            launch=launch,
            doors=doors,
            bounds=_bounds(config),
            detached=config.detached,
        )

    def _program(self, config: AgentConfig, instance: str, code: Code) -> SpawnUnit:
        assert config.command is not None
        argv = list(config.command)
        if argv[0] in ("python", "python3"):
            # The interpreter we run in, not whatever PATH finds: its environment has the program's libraries.
            argv[0] = code.python or sys.executable
        # A program of another make knows no other way to be told a secret than its environment.
        own = self._filled(config, config.env, [])
        launch = Exec(argv=argv, env=self._env | told(config) | own, cwd=self._cwd(config))
        return SpawnUnit(
            name=config.name,
            instance=instance,
            kind="agent",
            launch=launch,
            bounds=_bounds(config),
            detached=config.detached,
        )

    def _filled(self, config: AgentConfig, value: Any, found: list[str]) -> Any:
        """``value`` with secrets in place of references. Raises :class:`ConfigError` that names what is missing."""

        def resolve(reference: str) -> Secret:
            return resolve_secret(reference, self._store, environ=self._hidden)

        try:
            return filled(value, resolve, found)
        except NotFound as error:
            raise ConfigError(f"{config.name}: {error.message}", hint=error.hint) from error

    def _cwd(self, config: AgentConfig) -> str:
        base = fleet_directory(self.fleet)
        return str(base / config.cwd if config.cwd else base)

    def _doors(self, config: AgentConfig) -> Doors:
        path = check_socket_path(self._dirs.agent_socket(config.name))
        return Doors(unix=str(path), host=self._bind_host(config), port=config.port or 0)

    def _bind_host(self, config: AgentConfig) -> str:
        """Loopback for HTTP, and while every machine is on this computer; other ports speak CURVE only."""
        everybody_here = config.speaks == "http" or self._everybody_here()
        return "127.0.0.1" if everybody_here else "0.0.0.0"

    def _everybody_here(self) -> bool:
        return all(machine.is_here for machine in self.fleet.machines.values())

    def _endpoint(self, config: AgentConfig) -> str | None:
        if config.port is None or config.speaks != "rpc":
            return None
        host = self.fleet.machines[config.machine].host or "127.0.0.1"
        return f"tcp://{host}:{config.port}"

    def _spec(self, subject: Subject, config: AgentConfig, instance: str, doors: Doors) -> AgentSpec:
        assert config.class_path is not None
        ports = self.fleet.machines[config.machine].infra
        found: list[str] = []
        settings, env = (self._filled(config, value, found) for value in (config.settings, config.env))
        return AgentSpec(
            name=config.name,
            machine=config.machine,
            group=config.group,
            instance=instance,
            release=subject.release.name,
            begin=subject.begin,
            alone=config.update != "surge",
            class_path=config.class_path,
            settings=settings,
            secrets=sorted(set(found)),
            state_dir=str(self._dirs.agent_state(config.name)),
            run_dir=str(self._dirs.run),
            unix_fd=UNIX_FD,
            tcp_fd=TCP_FD if doors.port else None,
            tcp_endpoint=self._endpoint(config),
            side_ports=config.side_ports,
            notify_fd=NOTIFY_FD,
            identity=self._machine.issue(str(config.id)),
            curve=self._machine.curve(str(config.id)),
            nats=nats_access(self._machine, ports, config.name),
            control=valkey_access(self._machine, self._dirs, "control", config.name),
            cache=valkey_access(self._machine, self._dirs, "cache", config.name),
            directory=self._directory,
            error_bus=config.error_bus,
            fleet=msgspec.msgpack.encode(self.fleet) if config.observer else b"",
            environment=env,
            allow=self.fleet.callers_of(config),
            epochs_file=str(self._home.ca / EPOCHS_FILE),
            trail_file=str(self._dirs.trail),
        )


def told(config: AgentConfig) -> dict[str, str]:
    """What a program of another make (``command:``) learns about itself, by its environment."""
    names = {"TANDEM_AGENT": config.name, "TANDEM_MACHINE": config.machine, "TANDEM_NOTIFY_FD": str(NOTIFY_FD)}
    ports = {"": config.port} | {f"_{name.upper()}": port for name, port in config.side_ports.items()}
    return names | {f"TANDEM_PORT{name}": str(port) for name, port in ports.items() if port is not None}


def _bounds(config: AgentConfig) -> Bounds | None:
    limits = config.limits
    if limits == Limits():
        return None
    return Bounds(
        memory_mb=limits.memory_mb,
        cpu_percent=limits.cpu_percent,
        processes=limits.processes,
        open_files=limits.open_files,
        log_mb=limits.log_mb,
        nice=limits.nice,
    )
