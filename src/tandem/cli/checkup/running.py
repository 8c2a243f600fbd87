"""What of the fleet runs here, and what a dead one left behind."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tandem.core.checkup import Finding, fine, note, problem
from tandem.core.errors import TandemError
from tandem.core.paths import Home

ANSWER_TIMEOUT_S = 5.0
TAKE_OVER = "tandem up takes it over, tandem down ends it"


def judge_machines(home: Home) -> Iterable[Finding]:
    """Keeper and node of every machine that has ever run under this home."""
    from tandem.supervise.node_client import known_machines

    for machine in known_machines(home):
        yield from _judge_machine(home, machine)


def _judge_machine(home: Home, machine: str) -> Iterable[Finding]:
    from tandem.supervise.keeper_start import is_kept
    from tandem.supervise.leftovers import leftovers, sockets_of

    dirs = home.machine(machine)
    if is_kept(dirs):
        yield _node(home, machine)
        return
    elsewhere = _runs_elsewhere(home, machine)
    if elsewhere is not None:
        yield problem(
            machine, f"it runs with another run directory: {elsewhere}", f"set TANDEM_RUN_DIR={elsewhere.parent}, or unset it"
        )  # fmt: skip
        return
    orphans = leftovers(dirs)
    sockets = sockets_of(dirs)
    if orphans:
        yield problem(machine, f"its keeper is gone, {len(orphans)} of its processes still run", TAKE_OVER)
    elif sockets:
        yield note(machine, f"it does not run and left {len(sockets)} sockets in {dirs.run}", TAKE_OVER)
    else:
        yield fine(machine, "it does not run")


def _node(home: Home, machine: str) -> Finding:
    from tandem.supervise.api import AskStatus, MachineStatus
    from tandem.supervise.node_client import ask

    try:
        answer = ask(home.machine(machine), machine, AskStatus(), ANSWER_TIMEOUT_S)
    except TandemError as error:
        return problem(machine, error.message, error.hint or "tandem logs --agent node")
    if not isinstance(answer, MachineStatus):
        return problem(machine, "its node refuses to tell how it is", "tandem logs --agent node")
    troubled = [view.name for view in answer.agents if view.verdict == "trouble"]
    down = [service.name for service in answer.services if service.state != "healthy"]
    if troubled or down:
        return problem(machine, f"it runs, but not {', '.join(down + troubled)}", "tandem status")
    return fine(
        machine, f"it runs: {len(answer.agents)} agents, keeper {answer.keeper_pid}, node {answer.pid}"
    )


def _runs_elsewhere(home: Home, machine: str) -> Path | None:
    """The run directory in which a keeper holds the machine, when that is not the one we look into."""
    from tandem.core.paths import MachineDirs
    from tandem.supervise.keeper_start import is_kept
    from tandem.supervise.node_client import recorded_run_dir

    dirs = home.machine(machine)
    recorded = recorded_run_dir(dirs)
    if recorded is None or recorded == dirs.run or not is_kept(MachineDirs(dirs.root, recorded)):
        return None
    return recorded


def judge_security(home: Home) -> Iterable[Finding]:
    """Whether somebody was turned away lately, and whether keys are in the middle of a change."""
    from tandem.cli.security_trail import refused_lately
    from tandem.supervise.node_client import known_machines

    for machine in _expelled(home):
        yield problem(
            "security", f"{machine} was expelled from its fleet", f"tandem machine invite {machine}, over there, and join again"
        )
    for machine in known_machines(home):
        if home.is_rotating(machine):
            yield note(
                "security", f"a rotation of {machine}'s keys is not finished", f"tandem machine rotate {machine}"
            )
    if refused := refused_lately(home):
        yield note("security", f"{refused} refused within the last hour", "tandem machine trail --denied")
    else:
        yield fine("security", "nobody was refused within the last hour")


def _expelled(home: Home) -> Iterable[str]:
    """Machines of this computer whose identity the fleet does not accept any more."""
    from tandem.core.errors import PermissionDenied
    from tandem.security import Authority

    if not (home.ca / "root").exists():
        return
    authority = Authority.open(home)
    for machine in authority.local_machines():
        try:
            authority.ends_at(machine)
        except PermissionDenied:
            yield machine
