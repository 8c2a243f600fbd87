"""`tandem machine`: the computers of the fleet, and who of it is trusted."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from tandem.cli.fleet_file import FleetOption, JsonOption

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tandem.cli.invitations import Invitation
    from tandem.core.paths import Home
    from tandem.fleet import Fleet
    from tandem.infra import Arrival

app = typer.Typer(add_completion=False, no_args_is_help=True, help="The computers of the fleet, and whom it trusts.")

MachineArgument = Annotated[str, typer.Argument(help="Its name in the fleet file.", metavar="MACHINE")]
DEFAULT_PORT = 7443
"""Where the first machine of a fleet waits for others, as long as the fleet file says nothing else."""


@app.command()
def invite(
    machine: MachineArgument,
    address: Annotated[str | None, typer.Option("--address", help="Where the other computer reaches this one.")] = None,
    minutes: Annotated[int, typer.Option("--for", min=1, max=1440, help="How long the invitation stands.")] = 60,
    fleet: FleetOption = None,
) -> None:
    """Print the command with which one other computer becomes MACHINE, and wait for it.

    The command contains a code that serves one computer once and ends with this command, whatever happens first. A
    computer that is MACHINE already gets the fleet file and the code as they are here now, and keeps its keys.

    Example: tandem machine invite pc2
    """
    import asyncio

    from tandem.cli.invitations import Invitation

    home, loaded = _home(), _fleet(fleet)
    invitation = Invitation(home, loaded, machine, address, minutes * 60)
    typer.echo(f"On the computer that is to be {machine}, within {minutes} minutes:\n")
    typer.echo(f"  echo {invitation.code} | tandem machine join {machine} {_place(invitation)}\n")
    if own := invitation.parcel.digests:
        typer.echo(f"The fleet file and {_amount(own)} beside it ({len(invitation.parcel.archive) // 1024 + 1} KiB) go along.")
    typer.echo("Waiting for it; Ctrl-C takes the invitation back.")

    def refused(where: str, why: str) -> None:
        typer.echo(f"Refused a computer at {where}: {why}", err=True)

    arrival = asyncio.run(invitation.wait(refused))
    if arrival is None:
        typer.echo("Nobody came; the invitation has ended.", err=True)
        raise typer.Exit(1)
    if invitation.renews:
        typer.echo(f"{machine} at {arrival.came_from} has this fleet file and code now. There: tandem apply")
    else:
        _welcome(home, loaded, arrival)


@app.command()
def join(
    machine: MachineArgument,
    place: Annotated[
        str | None, typer.Argument(help="ADDRESS or ADDRESS:PORT of the inviting computer.", metavar="[PLACE]")
    ] = None,
) -> None:
    """Make this computer MACHINE of the fleet that invited it. The code is asked for, or read from standard input.

    Both computers prove to each other that they know the code, which never crosses the network. This one makes its own
    keys and receives certificates, the fleet file with the code beside it, and the other machines' addresses. Both need
    the same version of Tandem; what else that code imports has to be installed here.

    Without PLACE the inviting computer is looked for on the local network. That it is found there proves nothing: the
    code does. On a computer that is MACHINE already, the fleet file, the code and the addresses are brought up to date;
    `tandem apply` puts them in service.

    Example: tandem machine join pc2 mainpc.local
    """
    import asyncio

    from tandem.cli.invitations import accept

    home = _home()
    address, port = _split(place) if place else _found(machine)
    guest, notes = asyncio.run(accept(home, machine, address, port, _read_code(), _show_progress))
    bundle = guest.bundle
    if bundle.digests:
        typer.echo(f"Received {_amount(bundle.digests)} of code.")
    for note in notes:
        typer.echo(f"Note: {note}.")
    if guest.is_member:
        typer.echo(f"This computer is still {machine}, and has what the fleet has now. In service: tandem apply")
        return
    others = ", ".join(f"{name} ({host})" for name, host in bundle.hosts.items())
    typer.echo(f"This computer is {machine} now, beside {others}. Start it: tandem up")


@app.command("list")
def list_(fleet: FleetOption = None, json: JsonOption = False) -> None:
    """Show every machine: where it is, whether it runs here, and until when its identity is good.

    Example: tandem machine list
    """
    from tandem.cli.fleet_file import print_json

    rows = _rows(_home(), _fleet(fleet))
    if json:
        print_json(rows)
        return
    width = max(len(row["name"]) for row in rows)
    for row in rows:
        where = "here" if row["where"] == "here" else row["host"] or "elsewhere"
        typer.echo(f"{row['name']:<{width}}  {where:<16}  {row['state']:<10}  {row['identity']}")


@app.command()
def remove(machine: MachineArgument, fleet: FleetOption = None) -> None:
    """Expel a computer: everything it and its agents could prove is refused from now on, on every machine.

    Running connections end within two seconds, on machines that can be reached; elsewhere as soon as the link is back,
    and within 24 hours in any case. To let it in again, invite it again.

    Example: tandem machine remove pc2
    """
    from tandem.core.errors import ConfigError, NotFound
    from tandem.fleet.places import known_places, write_places
    from tandem.security import Authority

    home = _home()
    authority = Authority.open(home)
    places = known_places(home)
    if machine in authority.local_machines():
        raise ConfigError(f"{machine} is on this computer", hint=f"new keys for it: tandem machine rotate {machine}")
    if not authority.signing_key_of(machine):
        raise NotFound(f"no computer ever joined as {machine!r}", hint="tandem machine list")
    authority.revoke(machine)
    places.pop(machine, None)
    write_places(home, places)
    _note(home, "machine removed", machine)
    typer.echo(f"{machine} is expelled. Its agents run here from the next `tandem up` on, unless the fleet file says where.")


@app.command()
def rotate(machine: MachineArgument) -> None:
    """Give a machine of this computer new keys: signing, TLS, CURVE, NATS and Valkey. The old ones are refused at the end.

    A running fleet serves on: its nodes are replaced and its agents restarted, one after the other, while both generations of
    keys are good. Interrupted at any moment, the same command goes on, and so does the next `tandem up`. Secrets stay
    readable throughout. A machine on another computer gets new keys by joining again.

    Example: tandem machine rotate mainpc
    """
    from tandem.cli.rotating import rotate as rotate_machine

    home = _home()
    count = rotate_machine(home, machine, typer.echo)
    _note(home, "machine rotated", machine)
    amount = "1 secret is" if count == 1 else f"{count} secrets are"
    kept = f", and {amount} encrypted anew" if count else ""
    typer.echo(f"{machine} has new keys{kept}; the former ones are refused.")


@app.command()
def revoke(
    identity: Annotated[str, typer.Argument(help="Name@machine, or operator.", metavar="IDENTITY")],
    fleet: FleetOption = None,
) -> None:
    """Refuse everything an agent, or the operator, could prove so far; running connections end within two seconds.

    A restart gives it a new identity. A stolen one stays useless.

    Example: tandem machine revoke RemoteConnectorAgent@pc2
    """
    from tandem.security import Authority
    from tandem.security.guard import OPERATOR

    home = _home()
    subject = identity if identity == OPERATOR else str(_fleet(fleet).identify(identity))
    Authority.open(home).revoke(subject)
    _note(home, "identity revoked", subject)
    restart = "" if subject == OPERATOR else f" A new identity: tandem restart {subject}"
    typer.echo(f"{subject} is refused from now on.{restart}")


@app.command()
def trail(
    lines: Annotated[int, typer.Option("-n", "--lines", min=1, help="How many of the newest.")] = 50,
    denied: Annotated[bool, typer.Option("--denied", help="Only what was refused.")] = False,
    json: JsonOption = False,
) -> None:
    """Show the audit trail of security: who was refused, who joined, what was revoked, which secret was touched.

    Example: tandem machine trail --denied
    """
    from datetime import UTC, datetime

    from tandem.cli.fleet_file import print_json
    from tandem.cli.security_trail import read_all

    records = [(m, r) for m, r in read_all(_home()) if not denied or r.event.endswith(("denied", "refused"))][-lines:]
    if json:
        print_json([{"machine": machine, "record": record} for machine, record in records])
        return
    for machine, record in records:
        at = datetime.fromtimestamp(record.at, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")
        times = f" ({record.times} times)" if record.times > 1 else ""
        words = " ".join(part for part in (record.by, record.event, record.subject) if part)
        typer.echo(f"{at}  {machine:<8}  {words}{times}" + (f": {record.detail}" if record.detail else ""))
    if not records:
        typer.echo("Nothing is on record.")


def _place(invitation: Invitation) -> str:
    host = f"[{invitation.address}]" if ":" in invitation.address else invitation.address
    return host if invitation.port == DEFAULT_PORT else f"{host}:{invitation.port}"


def _split(place: str) -> tuple[str, int]:
    from urllib.parse import urlsplit

    from tandem.core.errors import ConfigError

    try:
        parts = urlsplit(f"//{place}")
        if not parts.hostname or parts.path:
            raise ValueError(place)
        return parts.hostname, parts.port or DEFAULT_PORT
    except ValueError:
        raise ConfigError(f"{place!r} is no address", hint="write mainpc.local or mainpc.local:7443") from None


def _found(machine: str) -> tuple[str, int]:
    """Where the only computer on the local network that invites ``machine`` waits."""
    import asyncio

    from tandem.core.errors import NotFound
    from tandem.infra.offers import look

    offers = asyncio.run(look(machine))
    for offer in offers:
        typer.echo(f"The fleet {offer.fleet!r} at {offer.address}:{offer.port} offers a place as {machine}.")
    if len(offers) != 1:
        what = "several computers offer" if offers else "no computer on this network offers"
        raise NotFound(f"{what} a place as {machine}", hint=f"name the address: tandem machine join {machine} ADDRESS")
    return offers[0].address, offers[0].port


def _read_code() -> str:
    import getpass
    import sys

    from tandem.core.errors import ConfigError

    # Not an argument: every user of a computer can read those of all programs.
    code = getpass.getpass("Code: ") if sys.stdin.isatty() else sys.stdin.readline()
    if not code.strip():
        raise ConfigError("there is no code", hint="it is shown by: tandem machine invite")
    return code.strip()


def _amount(files: Mapping[str, str]) -> str:
    return f"{len(files)} file{'s' if len(files) != 1 else ''}"


def _show_progress(received: int, size: int) -> None:
    """On a terminal, and only for what takes a while."""
    import sys

    if sys.stderr.isatty() and size > 1_000_000:
        end = "\n" if received == size else ""
        typer.echo(f"\rReceiving code: {received / 2**20:.1f} of {size / 2**20:.1f} MiB{end}", nl=False, err=True)


def _welcome(home: Home, fleet: Fleet, arrival: Arrival) -> None:
    from tandem.security import Authority
    from tandem.supervise.keeper_start import is_kept

    typer.echo(f"{arrival.machine} joined from {arrival.came_from}.")
    running = [name for name, m in fleet.machines.items() if m.is_here and is_kept(home.machine(name))]
    listens_locally = all(machine.is_here for machine in fleet.machines.values())
    if running and listens_locally:
        typer.echo("So far the fleet listens to this computer only. Here: tandem down, then tandem up. There: tandem up")
    elif running and arrival.reached not in Authority.open(home).addresses_of(next(iter(fleet.machines))):
        typer.echo(f"So far the fleet does not answer by {arrival.reached}. Here: tandem down, then tandem up. There: tandem up")
    else:
        typer.echo("There: tandem up" if running else "Now, on both: tandem up")


def _rows(home: Home, fleet: Fleet) -> list[dict[str, Any]]:
    from datetime import UTC, datetime

    from tandem.core.errors import NotFound, PermissionDenied
    from tandem.security import Authority
    from tandem.supervise.keeper_start import is_kept

    authority = Authority.open(home) if (home.ca / "root").exists() else None
    rows = []
    for machine in fleet.machines.values():
        until: str | None = None
        identity = "no identity yet"
        try:
            if authority is not None:
                ends = authority.ends_at(machine.name)
                until = datetime.fromtimestamp(ends, UTC).date().isoformat()
                identity = f"good until {until}"
        except NotFound:
            if not machine.is_here:
                founder = authority is not None and authority.founded_here
                identity = f"not joined: tandem machine invite {machine.name}" if founder else "kept by the first machine"
        except PermissionDenied:
            identity = "revoked"
        if home.is_rotating(machine.name):
            identity += f"; its rotation is not finished: tandem machine rotate {machine.name}"
        kept = machine.is_here and is_kept(home.machine(machine.name))
        rows.append(
            {
                "name": machine.name,
                "where": "here" if machine.is_here else "elsewhere",
                "host": machine.host,
                "state": ("running" if kept else "stopped") if machine.is_here else "remote",
                "identity": identity,
                "good_until": until,
            }
        )
    return rows


def _home() -> Home:
    from tandem.core.paths import Home

    return Home.from_environment()


def _fleet(explicit: Path | None) -> Fleet:
    """The fleet file as far as it can be read, with its path made absolute."""
    from msgspec.structs import replace

    from tandem.cli.fleet_file import read_fleet, require_readable

    fleet = require_readable(read_fleet(explicit))
    return replace(fleet, file=str(Path(fleet.file).absolute()))


def _note(home: Home, event: str, subject: str) -> None:
    from tandem.cli.invitations import trail_of
    from tandem.security import Authority

    for machine in Authority.open(home).local_machines()[:1]:
        trail_of(home, machine).record(event, by="operator", subject=subject)
