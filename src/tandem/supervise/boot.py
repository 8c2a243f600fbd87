"""How a machine's keeper, zygote and node are started: computed by the command line, handed to the keeper."""

from __future__ import annotations

import os
import sys
from collections.abc import Container
from pathlib import Path

import msgspec
from msgspec import Struct

from tandem.core.paths import Home, MachineDirs, check_socket_path, private_dir
from tandem.core.secret_refs import hidden_names
from tandem.fleet.model import Fleet
from tandem.supervise.mark import MARK
from tandem.supervise.release import WORKING_TREE, Code
from tandem.supervise.wire import Exec, KeeperConfig, LogLimits, Preload

NODE_MODULE = "tandem.supervise.node_main"
AGENT_MODULES = [
    "tandem.supervise.agent_main",  # first: the node needs nearly all that this one needs
    "tandem.rpc.transports.unix",
    "encodings.idna",
    "zmq.asyncio",
    "redis.asyncio",
]
"""What every agent needs or may need; nothing here may start a thread."""


_THREADS = {"OPENBLAS_NUM_THREADS": "1"}
"""Native thread pools small, unless the shell says otherwise: a fork copies no threads, and 77 agents share few cores."""


class NodeBoot(Struct, frozen=True, kw_only=True):
    """What a node is told at birth. ``env`` is the whole environment for programs it executes, ``zygote`` how to make
    another zygote. ``hidden`` are variables the fleet file refers to as secrets; they are in no environment.
    """

    machine: str
    home: str
    fleet: Fleet
    env: dict[str, str]
    zygote: Exec
    hidden: dict[str, str] = {}


def hidden_in(fleet: Fleet) -> dict[str, str]:
    """Our environment's variables that ``fleet`` refers to as secrets."""
    names = {name for agent in fleet.agents.values() for name in hidden_names([agent.settings, agent.env])}
    return {name: os.environ[name] for name in sorted(names) if name in os.environ}


def environment(home: Home, hidden: Container[str] = ()) -> dict[str, str]:
    """Ours without ``hidden``, with :func:`given` on top: what every process of the fleet begins with."""
    inherited = {name: value for name, value in os.environ.items() if name != MARK and name not in hidden}
    return inherited | given(home)


def given(home: Home) -> dict[str, str]:
    """Variables that are not what our own environment says, or that it does not have: the home is pinned."""
    pinned = {"TANDEM_HOME": str(home.root), "TANDEM_RUN_DIR": str(home.run_root())}
    return {name: value for name, value in _THREADS.items() if name not in os.environ} | pinned


def fleet_directory(fleet: Fleet) -> Path:
    """Where the fleet file is: programs run there, and the fleet's own modules are found there."""
    return Path(fleet.file).absolute().parent


def zygote_of(
    machine: str, fleet: Fleet, env: dict[str, str], *, bears_node: bool, code: Code = WORKING_TREE
) -> Exec:
    """The zygote of one machine and release: the platform's modules, then those of the agents forked from it."""
    classes = [agent.class_path for agent in fleet.on(machine) if agent.class_path and agent.launch == "fork"]
    preload = Preload(
        modules=AGENT_MODULES,
        first=AGENT_MODULES[:1] if bears_node else [],
        optional=sorted({path.partition(":")[0] for path in classes}),
        path=[*code.paths, str(fleet_directory(fleet))],
        title=f"tandem: {code.zygote} {machine}",
        warm_up="tandem.supervise.warm_up:warm_up",
    )
    # Never resolve the interpreter's symlinks: a virtual environment is found by the path it is called by.
    argv = [code.python or sys.executable, "-m", "tandem.supervise.zygote"]
    env = env | python_path(code, env)
    return Exec(argv=argv, env=env, cwd="/", payload=msgspec.msgpack.encode(preload))


def python_path(code: Code, env: dict[str, str], *more: str) -> dict[str, str]:
    """PYTHONPATH by which a release's folders, then ``more``, come before everything else."""
    given = env.get("PYTHONPATH")
    places = [*code.paths, *more, *([given] if given else [])]
    return {"PYTHONPATH": os.pathsep.join(places)} if places else {}


def prepare(home: Home, machine: str) -> MachineDirs:
    """Make the machine's directories. Raises :class:`~tandem.core.errors.ConfigError` for one that cannot serve."""
    dirs = home.machine(machine)
    for directory in (home.root, dirs.root, dirs.state, dirs.logs, home.run_root(), dirs.run, dirs.run / "a"):
        private_dir(directory)
    check_socket_path(dirs.keeper_socket)
    return dirs


def keeper_config(
    home: Home, machine: str, fleet: Fleet, hidden: dict[str, str], limits: LogLimits | None = None
) -> KeeperConfig:
    """Everything the keeper of ``machine`` needs to know. For ``hidden`` see :class:`NodeBoot`."""
    dirs = home.machine(machine)
    env = environment(home, hidden)
    another = zygote_of(machine, fleet, env, bears_node=False)
    boot = NodeBoot(machine=machine, home=str(home.root), fleet=fleet, env=env, zygote=another, hidden=hidden)
    node = Exec(
        argv=[sys.executable, "-m", NODE_MODULE],
        env=env,
        cwd="/",
        payload=msgspec.msgpack.encode(boot),
    )
    return KeeperConfig(
        machine=machine,
        run_dir=str(dirs.run),
        log_dir=str(dirs.logs),
        state_dir=str(dirs.state),
        zygote=zygote_of(machine, fleet, env, bears_node=True),
        node=node,
        node_entry=f"{NODE_MODULE}:main",
        node_socket=str(dirs.node_socket),
        logs=limits or LogLimits(),
    )
