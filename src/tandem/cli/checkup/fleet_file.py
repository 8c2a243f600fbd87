"""Whether the fleet file is usable here, its ports included."""

from __future__ import annotations

from collections.abc import Iterable

from tandem.cli.checkup.ports import judge_ports
from tandem.core.checkup import Finding, fine, note, problem
from tandem.core.paths import Home
from tandem.fleet import LoadResult, Severity
from tandem.fleet.model import Fleet
from tandem.fleet.ports import listeners

VALIDATE = "tandem config validate"


def judge_fleet(result: LoadResult) -> Iterable[Finding]:
    """One finding for each diagnostic, or one for a good file."""
    for diagnostic in result.diagnostics:
        place = f"{diagnostic.file}:{diagnostic.line}" if diagnostic.line else diagnostic.file
        words = f"{place}: {diagnostic.message}"
        make = problem if diagnostic.severity is Severity.ERROR else note
        yield make("fleet file", words, diagnostic.suggestion or VALIDATE)
    if result.ok and result.draft is not None:
        fleet = result.draft
        here = [machine.name for machine in fleet.machines.values() if machine.is_here]
        yield fine(
            "fleet file", f"{fleet.file}: {len(fleet.agents)} agents, here {', '.join(here) or 'none'}"
        )


def judge_fleet_ports(fleet: Fleet, home: Home) -> list[Finding]:
    """Whether the ports of the machines that are here, and do not run yet, can be had."""
    from tandem.supervise.keeper_start import is_kept
    from tandem.supervise.leftovers import leftovers

    ours = [m.name for m in fleet.machines.values() if m.is_here]
    held = [name for name in ours if is_kept(home.machine(name)) or leftovers(home.machine(name))]
    wanted = [listener for listener in listeners(fleet) if listener.machine in ours]
    free = [listener for listener in wanted if listener.machine not in held]
    found = judge_ports(free)
    if not found:
        taken = f", {len(wanted) - len(free)} are ours" if held else ""
        found.append(fine("ports", f"{len(free)} ports are free{taken}"))
    return found
