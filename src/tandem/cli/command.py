"""One command: finds the verb, imports it and nothing else, and turns errors into words."""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import warnings
from typing import Any, NamedTuple

from tandem.cli.main import EXIT_INTERRUPTED, say_interrupted


class Verb(NamedTuple):
    """Where a verb lives (a module with a typer ``app``), and what ``tandem --help`` says about it."""

    module: str
    help: str


VERBS = {
    "up": Verb("tandem.cli.up", "Start the fleet, or what of it is not running."),
    "down": Verb("tandem.cli.down", "Stop everything on this computer and leave nothing behind."),
    "status": Verb("tandem.cli.status", "Show every machine, server and agent."),
    "logs": Verb("tandem.cli.logs", "Show log lines of all agents, merged by time."),
    "top": Verb("tandem.cli.top", "The fleet on one screen, live."),
    "start": Verb("tandem.cli.lifecycle:start_app", "Start agents."),
    "stop": Verb("tandem.cli.lifecycle:stop_app", "Stop agents."),
    "restart": Verb("tandem.cli.lifecycle:restart_app", "Restart agents."),
    "plan": Verb("tandem.cli.plan", "What a changed fleet file or new code would do to each agent."),
    "apply": Verb("tandem.cli.apply", "Bring the running fleet to the fleet file and code as they are now."),
    "rollout": Verb("tandem.cli.rollout", "Follow, pause, resume or abort what apply has begun."),
    "rollback": Verb("tandem.cli.rollback", "Return to an earlier release."),
    "node": Verb("tandem.cli.node", "Show the keeper, node and zygote of each machine."),
    "config": Verb("tandem.cli.config", "Judge, show, explain, convert and describe the fleet file."),
    "graph": Verb("tandem.cli.graph", "Who needs whom, and in which order agents start."),
    "analyze": Verb("tandem.cli.analyze", "Where the time of the last start went."),
    "ports": Verb("tandem.cli.ports", "Who listens where, how full the ranges are, and what clashes."),
    "trace": Verb("tandem.cli.trace", "Where the time of a turn went, hop by hop."),
    "errors": Verb("tandem.cli.errors", "What went wrong, why, and who takes care of it."),
    "hub": Verb("tandem.cli.hub", "The pages of the running fleet, and the key to them."),
    "machine": Verb("tandem.cli.machine", "The computers of the fleet, and whom it trusts."),
    "secrets": Verb("tandem.cli.secrets", "Keep passwords and API keys for agents."),
    "export": Verb("tandem.cli.export", "What the fleet file means to other tools: Prometheus, Alertmanager, Grafana."),
    "doctor": Verb("tandem.cli.doctor", "Check everything this computer could lack, and say the fix."),
    "audit": Verb("tandem.cli.audit", "The truth about a tree of agent scripts."),
    "fix": Verb("tandem.cli.fix", "Mend what tandem audit found and can mend safely."),
    "bench": Verb("tandem.cli.bench", "Run a benchmark by name."),
    "completion": Verb("tandem.cli.completion", "Print the completion script of a shell."),
    "version": Verb("tandem.cli.version", "Show the version."),
}
"""Sorted as a person meets them. The assistant adds its verbs by the entry point group ``tandem.commands``."""

EXTENSION_GROUP = "tandem.commands"
EXIT_USAGE = 2
COLLECT_AFTER = 50_000
"""New objects until the garbage collector looks; Python's own 700 costs a command a tenth of its time."""

_INTRODUCTION = """Usage: tandem VERB [OPTIONS] [ARGUMENTS]...

  Run a household of AI agents on the computers you own.

  Example: tandem up

Verbs (tandem VERB --help tells more):"""


def execute(arguments: list[str]) -> int:
    """Run one command; its exit status: 0 done, 1 not done, 2 wrong usage, 78 wrong configuration, 130 interrupted."""
    # What a command does is mostly to import, and imported objects stay: looking for garbage among them finds none.
    gc.set_threshold(COLLECT_AFTER)
    if "_TANDEM_COMPLETE" in os.environ:
        from tandem.cli.completion import complete

        complete()
    try:
        status = run(arguments)
        sys.stdout.flush()
    except BrokenPipeError as error:
        if _is_heard():
            return _apologize(error)
        # Whoever read us (head, less) has seen enough; the interpreter must not complain about it at its end.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115, PTH123
        status = 0
    except KeyboardInterrupt:
        status = _interrupted()
    except Exception as error:
        status = _interrupted() if _came_of_an_interrupt(error) else _apologize(error)
    return status


def run(arguments: list[str]) -> int:
    """The exit status of one command."""
    match arguments:
        case [] | ["-h" | "--help" | "help"]:
            print(help_text())
            return 0
        case ["--version" | "-V"]:
            arguments = ["version"]
        case [option, *_] if option.startswith("-"):
            return _misuse(f"there is no option {option} before the verb")
    verb, *rest = arguments
    if verb == "up" and not {"-h", "--help"} & set(rest):
        # The keeper imports while we do; a start is measured from the moment the command is typed.
        from tandem.supervise import prestart

        _interruptible()
        prestart.begin()
    target = VERBS[verb].module if verb in VERBS else verbs().get(verb)
    if target is None:
        return _misuse(f"there is no verb {verb!r}", _suggestion(verb))
    return _call(target, verb, rest)


def help_text() -> str:
    """What ``tandem --help`` shows. Short helps are kept here: importing every verb for them would take a second."""
    rows = {name: verb.help for name, verb in VERBS.items()}
    rows |= {name: _summary(target) for name, target in verbs().items() if name not in VERBS}
    width = max(map(len, rows)) + 2
    return "\n".join([_INTRODUCTION, *(f"  {name:<{width}}{text}" for name, text in rows.items())])


def _call(target: str, verb: str, rest: list[str]) -> int:
    import typer

    from tandem.core.errors import EX_CONFIG, ConfigError, TandemError

    try:
        command = typer.main.get_command(load(target))
        _interruptible()
        # As typer's own main(), which would turn Ctrl-C into a bare status.
        with command.make_context(f"tandem {verb}", rest) as context:
            status = command.invoke(context)
    except typer.Exit as ended:
        return ended.exit_code
    except typer.TyperException as error:
        misuse: Any = error  # typer's own click has no public name
        misuse.show()
        return int(misuse.exit_code)
    except typer.Abort:
        raise KeyboardInterrupt from None
    except TandemError as error:
        # A wrong fleet file brings everything that is wrong with it; only then are those modules imported.
        if diagnostics := getattr(error, "diagnostics", None):
            from tandem.cli.fleet_file import show_problems

            show_problems(diagnostics)
        else:
            hint = f"\n  {error.hint}" if error.hint else ""
            print(f"Error: {error.message}{hint}", file=sys.stderr)
        return EX_CONFIG if isinstance(error, ConfigError) else 1
    return status if isinstance(status, int) else 0


def _interruptible() -> None:
    """From here on there may be something to put in order: Ctrl-C raises, as everything that cleans up expects.

    Until now it has ended the process at once (:mod:`tandem.cli.main`). Where it was ignored it stays so (``nohup``).
    """
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _interrupted() -> int:
    # What was about to be awaited never will be; that is no news to whoever interrupted it.
    warnings.simplefilter("ignore", RuntimeWarning)
    say_interrupted()
    return EXIT_INTERRUPTED


def _is_heard() -> bool:
    """Whether somebody still reads what we say; else it is another pipe that broke, and what we were to do is not done."""
    import select

    ends = select.poll()
    for descriptor in (1, 2):
        ends.register(descriptor, 0)
    return not any(event & select.POLLERR for _descriptor, event in ends.poll(0))


def _came_of_an_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: until Python 3.12 what it interrupts in a class being made is a ``RuntimeError``."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def _apologize(error: Exception) -> int:
    """What the computer refused is said in its words; what is our own mistake is kept for whoever mends it."""
    if isinstance(error, OSError) and error.strerror:
        place = f": {error.filename}" if error.filename else ""
        print(f"Error: {error.strerror}{place}\n  tandem doctor checks this computer", file=sys.stderr)
        return 1
    import tempfile
    import traceback

    kept = ""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="tandem-crash-", suffix=".txt", delete=False) as file:
            traceback.print_exception(error, file=file)
            kept = f"; the details are in {file.name}"
    except OSError:
        pass  # a full disk must not hide the message
    print(f"Error: {type(error).__name__}: {error}\n  this is a mistake in Tandem{kept}", file=sys.stderr)
    return 1


def load(target: str) -> Any:
    """The typer app of ``module`` or ``module:attribute``."""
    module, _, attribute = target.partition(":")
    return getattr(importlib.import_module(module), attribute or "app")


def _summary(target: str) -> str:
    """What an extension's module says it is about, read without running it."""
    import ast
    from importlib.util import find_spec
    from pathlib import Path

    spec = find_spec(target.partition(":")[0])
    if spec is None or spec.origin is None:
        return f"from {target}, which is not installed"
    line = (ast.get_docstring(ast.parse(Path(spec.origin).read_text())) or "").partition("\n")[0]
    about = line.partition(": ")[2] or line
    return about[:1].upper() + about[1:]


def _misuse(problem: str, suggestion: str = "") -> int:
    print(f"Error: {problem}.{suggestion}\n  tandem --help lists the verbs", file=sys.stderr)
    return EXIT_USAGE


def _suggestion(verb: str) -> str:
    import difflib

    close = difflib.get_close_matches(verb, verbs(), n=1)
    return f" Did you mean {close[0]!r}?" if close else ""


def verbs() -> dict[str, str]:
    """Every verb and the app behind it, ours first."""
    from importlib.metadata import entry_points

    added = {point.name: point.value for point in entry_points(group=EXTENSION_GROUP)}
    return {name: verb.module for name, verb in VERBS.items()} | {
        name: target for name, target in sorted(added.items()) if name not in VERBS
    }
