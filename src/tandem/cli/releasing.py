"""What `plan`, `apply`, `rollout` and `rollback` share: asking nodes about releases, and following a rollout."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from tandem.cli.local import open_all, require_running
from tandem.core.errors import DeadlineExceeded, TandemError, Unreachable
from tandem.core.paths import Home
from tandem.supervise.node_client import Conversation, NotRunning, ask, follow, known_machines, silent
from tandem.supervise.rollout import Course
from tandem.supervise.rollout_api import AskRelease, Follow, ReleaseStatus, RolloutView

if TYPE_CHECKING:
    from tandem.fleet.model import Fleet
    from tandem.release.prepare import Prepared
    from tandem.supervise.api import AnyAnswer, AnyQuestion

ANSWER_S = 15.0
QUIET_S = 10.0
ALIVE_S = 5.0
"""Seconds without news after which a node is asked whether it lives, and has to answer."""

NODE_BACK_S = 60.0
"""How long a node that went away in the middle of a rollout gets to come back; it goes on by itself."""

_PAUSE_S = 0.2
OnNews = Callable[[RolloutView], None]


def release_statuses(home: Home, *, all_or_none: bool = False) -> list[ReleaseStatus]:
    """What each running machine of this home runs; those that are left out are named on standard error.

    Raises the clearest reason when none can be asked, and with ``all_or_none`` when one does not answer that should: what
    is changed on some machines only is hard to take back.
    """
    conversations, failures = open_all(home, known_machines(home), lambda _machine: AskRelease())
    finals = follow(conversations, lambda _machine, _answer: None, ANSWER_S)
    found = []
    for conversation in conversations:
        final = finals.get(conversation.machine)
        if isinstance(final, ReleaseStatus):
            found.append(final)
        elif isinstance(final, TandemError):
            failures[conversation.machine] = final
        else:
            dirs = home.machine(conversation.machine)
            failures[conversation.machine] = silent(dirs, conversation.machine, ANSWER_S)
    if not found:
        require_running([], failures)
    _tell_left_out(found, failures, all_or_none=all_or_none)
    return found


def _tell_left_out(found: list[ReleaseStatus], failures: dict[str, TandemError], *, all_or_none: bool) -> None:
    import typer

    here = {m.name for status in found for m in status.current.fleet.machines.values() if m.is_here}
    for machine, error in failures.items():
        if isinstance(error, NotRunning):
            if machine in here:
                typer.echo(f"{machine} does not run and is left out", err=True)
        elif all_or_none:
            raise TandemError(f"{machine} cannot be asked, so nothing was touched: {error}", hint=error.hint)
        else:
            typer.echo(f"{machine} cannot be asked: {error}", err=True)


def refuse_during_rotation(home: Home, statuses: list[ReleaseStatus]) -> None:
    """A rollout and `tandem machine rotate` would replace the same agents beneath each other. Raises :class:`TandemError`."""
    for status in statuses:
        if home.is_rotating(status.machine):
            raise TandemError(
                f"the keys of {status.machine} are being replaced; nothing was touched",
                hint=f"wait until that is done, or go on with it: tandem machine rotate {status.machine}",
            )


def readable_fleet(path: Path | None) -> Fleet:
    """The fleet file without a single error: what is wrong in one entry must not look like an agent that was removed.

    Exits with 78 otherwise.
    """
    import typer

    from tandem.cli.fleet_file import read_fleet, show_problems
    from tandem.core.errors import EX_CONFIG

    result = read_fleet(path, strict=True)
    show_problems(result.diagnostics)
    if result.fleet is None:
        raise typer.Exit(EX_CONFIG)
    return replace(result.fleet, file=str(Path(result.fleet.file).absolute()))


def others(fleet: Fleet) -> list[str]:
    """What a person should know of machines that run on another computer: no command here changes them."""
    founded = next(iter(fleet.machines.values())).is_here
    away = [machine.name for machine in fleet.machines.values() if not machine.is_here]
    way = "tandem machine invite {0}, its command over there, then tandem apply there" if founded else "tandem apply there"
    return [f"{name} is another computer and keeps what it runs; to bring it this, too: {way.format(name)}" for name in away]


def carry_out(home: Home, machine: str, question: AnyQuestion, on_news: OnNews) -> ReleaseStatus:
    """Ask for a rollout (or for news of one) and follow it to its end or pause, also across the death of the node.

    A node that hangs is named on standard error. Raises :class:`TandemError` when the node refuses, or does not come back.
    """
    import typer

    from tandem.supervise.api import Refused

    dirs, lost_at = home.machine(machine), None

    def hear(_machine: str, answer: AnyAnswer) -> None:
        nonlocal lost_at
        lost_at = None
        if isinstance(answer, RolloutView):
            on_news(answer)

    while True:
        try:
            final = follow([Conversation(dirs, machine, question)], hear, QUIET_S).get(machine)
            if final is None:
                # No news may be no change; a node that lives answers this at once.
                ask(dirs, machine, AskRelease(), ALIVE_S)
                question = Follow()
                continue
        except Unreachable as error:
            final = error
        if isinstance(final, ReleaseStatus):
            return final
        if isinstance(final, Refused):
            raise TandemError(final.message, hint=final.hint or None)
        if not isinstance(final, Unreachable):
            raise final if isinstance(final, TandemError) else TandemError("the node gave a strange answer")
        if lost_at is None:
            typer.echo(f"{final}; waiting for {NODE_BACK_S:g} s, another one goes on where it was", err=True)
            lost_at = time.monotonic()
        if time.monotonic() - lost_at > NODE_BACK_S:
            raise DeadlineExceeded(
                f"the node of {machine} did not come back: {final}", hint="tandem logs node"
            )
        time.sleep(_PAUSE_S)
        question = Follow()


def is_through(status: ReleaseStatus, prepared: Prepared) -> bool:
    """Whether that very rollout is done."""
    view = status.rollout
    return view is not None and view.id == prepared.plan.id and view.course is Course.DONE


def is_paused(status: ReleaseStatus) -> bool:
    return status.rollout is not None and status.rollout.course is Course.PAUSED
