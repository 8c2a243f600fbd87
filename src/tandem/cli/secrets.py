"""`tandem secrets`: passwords and API keys the fleet file names and never contains."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tandem.cli.fleet_file import FleetOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tandem.core.paths import Home
    from tandem.fleet import Fleet
    from tandem.security import Machine, Secret, SecretStore

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Keep passwords and API keys for agents.")

NameArgument = Annotated[str, typer.Argument(help="Letters, digits, dots, - and _.", metavar="NAME")]
MachineOption = Annotated[
    str | None,
    typer.Option("--machine", help="Only this machine's store; by default every machine of this computer."),
]
MAX_BYTES = 64 * 1024


@app.command("set")
def set_(name: NameArgument, machine: MachineOption = None, fleet: FleetOption = None) -> None:
    """Store a secret, or a new value of it. The value is asked for, or read from standard input; never an argument.

    An agent gets it where its settings or env say `secret:NAME`, from its next start on.

    Example: tandem secrets set openai < key.txt
    """
    _store(name, machine, fleet, event="secret set", must_exist=False)


@app.command()
def rotate(name: NameArgument, machine: MachineOption = None, fleet: FleetOption = None) -> None:
    """Replace the value of a secret that exists, and say which agents must restart to use the new one.

    Example: tandem secrets rotate openai
    """
    _store(name, machine, fleet, event="secret rotated", must_exist=True)


@app.command("list")
def list_(machine: MachineOption = None, fleet: FleetOption = None, json: JsonOption = False) -> None:
    """Show the names of all secrets and which agents use them; never a value. Missing ones are listed too.

    Exit status 1 when an agent of this computer refers to a secret that is not there.

    Example: tandem secrets list
    """
    from tandem.cli.fleet_file import print_json
    from tandem.security.secrets import RUN_SECRETS

    home, loaded = _home(), _fleet(fleet)
    rows = []
    for one in _machines(home, loaded, machine):
        names = set(_open(home, one).names())
        users = _users(loaded, one.name)
        for name in sorted(names | users.keys()):
            mounted = (RUN_SECRETS / name).is_file()
            where = str(RUN_SECRETS) if mounted else "store" if name in names else "missing"
            rows.append({"name": name, "machine": one.name, "where": where, "used_by": users.get(name, [])})
    if json:
        print_json(rows)
    elif not rows:
        typer.echo("There are no secrets. tandem secrets set NAME")
    for row in [] if json else rows:
        typer.echo(f"{row['name']:<24} {row['machine']:<10} {row['where']:<14} {', '.join(row['used_by']) or '-'}")
    raise typer.Exit(1 if any(row["where"] == "missing" for row in rows) else 0)


@app.command()
def remove(name: NameArgument, machine: MachineOption = None, fleet: FleetOption = None) -> None:
    """Forget a secret. Agents that have it keep it until they restart.

    Example: tandem secrets remove openai
    """
    from tandem.core.errors import NotFound

    home, loaded = _home(), _fleet(fleet)
    found = False
    for one in _machines(home, loaded, machine):
        store = _open(home, one)
        if name in store.names():
            store.delete(name)
            found = True
            _note(home, one, "secret removed", name)
            _tell_users(loaded, one.name, name, "will not start again without it")
    if not found:
        raise NotFound(f"there is no secret {name!r}", hint="tandem secrets list")
    typer.echo(f"{name} is forgotten.")


def _store(name: str, machine: str | None, fleet: Path | None, *, event: str, must_exist: bool) -> None:
    from tandem.core.errors import NotFound
    from tandem.security.secrets import check_name

    check_name(name)
    home, loaded = _home(), _fleet(fleet)
    stores = {one: _open(home, one) for one in _machines(home, loaded, machine)}
    if must_exist:
        stores = {one: store for one, store in stores.items() if name in store.names()}
        if not stores:
            raise NotFound(f"there is no secret {name!r} to rotate", hint=f"tandem secrets set {name}")
    value = _read_value(name)
    for one, store in stores.items():
        known = name in store.names()
        store.put(name, value)
        _note(home, one, event, name)
        if known:
            _tell_users(loaded, one.name, name, "must restart to use the new value")
    typer.echo(f"{name} is stored for {', '.join(one.name for one in stores)}.")


def _read_value(name: str) -> Secret:
    """From a prompt that shows nothing, or from standard input without its last line break."""
    import getpass
    import sys

    from tandem.core.errors import ConfigError, TooLarge
    from tandem.security import Secret

    if sys.stdin.isatty():
        text = getpass.getpass(f"Value of {name}: ")
        if text != getpass.getpass("Once more: "):
            raise ConfigError("the two are not the same; nothing was stored")
    else:
        raw = sys.stdin.buffer.read(MAX_BYTES + 1)
        if len(raw) > MAX_BYTES:
            raise TooLarge(f"a secret has at most {MAX_BYTES} bytes")
        try:
            text = raw.decode().removesuffix("\n").removesuffix("\r")
        except UnicodeDecodeError:
            raise ConfigError("the value is not text", hint="encode it, for example with base64") from None
    if not text:
        raise ConfigError("the value is empty; nothing was stored")
    return Secret(text)


def _home() -> Home:
    from tandem.core.paths import Home

    return Home.from_environment()


def _fleet(explicit: Path | None) -> Fleet | None:
    """What can be read of the fleet file; None where there is none, which is no obstacle."""
    from tandem.cli.fleet_file import read_fleet
    from tandem.fleet import find_fleet_file

    if explicit is None and not find_fleet_file().exists():
        return None
    return read_fleet(explicit).draft


def _machines(home: Home, fleet: Fleet | None, chosen: str | None) -> list[Machine]:
    """The machines of this computer, or the one chosen; their keys are made when there are none yet."""
    from tandem.core.errors import NotFound
    from tandem.security import Authority

    authority = Authority.open(home)
    names = authority.local_machines()
    if fleet is not None:
        names = [*dict.fromkeys([*names, *(m.name for m in fleet.machines.values() if m.is_here)])]
        names = [name for name in names if name in fleet.machines]
    if chosen is not None:
        if chosen not in names:
            raise NotFound(
                f"{chosen} is no machine of this computer", hint=f"its machines: {', '.join(names) or 'none'}"
            )
        names = [chosen]
    if not names:
        raise NotFound("this computer has no machine yet", hint="run it beside your fleet.yaml, or tandem up first")
    return [authority.machine(name) for name in names]


def _open(home: Home, machine: Machine) -> SecretStore:
    from tandem.security import SecretStore

    return SecretStore(home, machine)


def _users(fleet: Fleet | None, machine: str) -> dict[str, list[str]]:
    """Secret to the agents of ``machine`` that refer to it by name."""
    from tandem.core.secret_refs import references

    users: dict[str, list[str]] = {}
    for agent in fleet.on(machine) if fleet is not None else ():
        for reference in dict.fromkeys(references([agent.settings, agent.env])):
            scheme, _, name = reference.partition(":")
            if scheme == "secret":
                users.setdefault(name, []).append(agent.name)
    return users


def _tell_users(fleet: Fleet | None, machine: str, name: str, what: str) -> None:
    users: Iterable[str] = _users(fleet, machine).get(name, [])
    for agent in users:
        typer.echo(f"{agent}@{machine} {what}: tandem restart {agent}@{machine}")


def _note(home: Home, machine: Machine, event: str, name: str) -> None:
    from tandem.security import Trail

    directory = home.machine(machine.name)
    directory.root.mkdir(mode=0o700, parents=True, exist_ok=True)
    Trail(directory.trail).record(event, by="operator", subject=name)
