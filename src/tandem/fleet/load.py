"""Reading a fleet file: every problem at once, and a fleet of what is usable."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

from msgspec import Struct, field, structs

from tandem.core.ids import AgentId
from tandem.core.paths import Home
from tandem.fleet import check, names
from tandem.fleet.decode import BAD, Decoder, Place
from tandem.fleet.diagnostics import Diagnostic, FleetInvalid, Report, Severity, SourceText, has_errors
from tandem.fleet.diagnostics import Path as KeyPath
from tandem.fleet.document import FleetDoc
from tandem.fleet.draft import Context, Draft
from tandem.fleet.expand import Environment, Expander
from tandem.fleet.hosts import is_this_computer
from tandem.fleet.model import Fleet, InvalidAgent
from tandem.fleet.places import Places, known_places
from tandem.fleet.resolve import resolve
from tandem.fleet.shapes import Kept, Shaped, shape
from tandem.fleet.source import MAX_BYTES, Scalar, parse

DEFAULT_NAME = "fleet.yaml"
VARIABLE = "TANDEM_FLEET"


class LoadResult(Struct, kw_only=True):
    """What reading a fleet file gave.

    ``fleet`` holds the usable agents and lists the others as invalid; it is None when something beyond single
    agents is wrong (or, if strict, when anything is). ``draft`` holds every agent that could be read, for
    showing; None only when nothing could. ``kept`` lists legacy keys that have no meaning here. ``places`` and
    ``paths`` say where values and agents were written.
    """

    fleet: Fleet | None = None
    draft: Fleet | None = None
    diagnostics: list[Diagnostic] = field(default_factory=list)
    legacy: bool = False
    kept: list[Kept] = field(default_factory=list)
    places: dict[KeyPath, Place] = field(default_factory=dict)
    paths: dict[str, KeyPath] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """No errors; there may be warnings."""
        return not has_errors(self.diagnostics)

    def require(self) -> Fleet:
        """The fleet, or :class:`FleetInvalid` with everything that is wrong."""
        if self.fleet is None:
            raise FleetInvalid(self.diagnostics)
        return self.fleet


class Surroundings(Struct, kw_only=True):
    """What the meaning of a fleet file depends on besides its text.

    ``environ`` fills ``${NAME}``; ``is_here`` says whether a host is this computer; ``schemas`` finds classes and
    their Settings (without it neither is checked); ``strict`` makes any error fatal to the whole fleet. ``machines``
    says where those are that joined.
    """

    environ: Mapping[str, str] = field(default_factory=lambda: os.environ)
    is_here: Callable[[str], bool] = is_this_computer
    schemas: check.Schemas | None = None
    strict: bool = False
    machines: Places = field(default_factory=known_places)


def find_fleet_file(explicit: str | Path | None = None, environ: Mapping[str, str] | None = None) -> Path:
    """``explicit``, else ``$TANDEM_FLEET``, else ``./fleet.yaml``, else the one this computer got when it joined a fleet.

    A directory means the fleet.yaml in it.

    The file need not exist: :func:`load` reports that as it reports everything else.
    """
    variables = os.environ if environ is None else environ
    path = Path(explicit or variables.get(VARIABLE) or DEFAULT_NAME).expanduser()
    if path == Path(DEFAULT_NAME) and not path.exists():
        received = received_fleet_file(Home.from_environment())
        return received if received.exists() else path
    return path / DEFAULT_NAME if path.is_dir() else path


def received_fleet_file(home: Home) -> Path:
    """Where a computer keeps the fleet file it was given when it joined; the fleet's own code is beside it."""
    return home.root / "fleet" / DEFAULT_NAME


def load(path: str | Path, surroundings: Surroundings | None = None) -> LoadResult:
    """Read and judge the fleet file at ``path``; never raises for what is wrong with it."""
    text, problem = read_text(Path(path))
    if text is None:
        return LoadResult(diagnostics=[problem] if problem else [])
    return load_text(text, str(path), surroundings)


def read_text(path: Path) -> tuple[str | None, Diagnostic | None]:
    """The file's text, or the problem that prevents reading it."""
    try:
        with path.open("rb") as file:
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        absent = isinstance(error, FileNotFoundError)
        reason = "there is no such fleet file" if absent else f"cannot be read: {error.strerror}"
        advice = f"Name it with --fleet or {VARIABLE}, or go to the directory it is in." if absent else ""
        return None, _problem(path, "unreadable", reason, advice)
    if len(raw) > MAX_BYTES:
        return None, _problem(path, "unreadable", f"larger than {MAX_BYTES >> 20} MiB, so not a fleet file")
    if b"\0" in raw:
        return None, _problem(path, "binary", "this is a binary file, not a fleet file")
    try:
        return raw.decode("utf-8-sig"), None
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        return None, _problem(path, "binary", f"line {line} is not UTF-8 text", "Save the file as UTF-8.")


def _problem(path: Path, code: str, message: str, suggestion: str = "") -> Diagnostic:
    return Diagnostic(
        severity=Severity.ERROR, code=code, message=message, file=str(path), suggestion=suggestion
    )


def load_text(text: str, name: str, surroundings: Surroundings | None = None) -> LoadResult:
    """Judge the fleet file ``text``, called ``name`` in messages."""
    around = surroundings or Surroundings()
    report = Report(SourceText.of(name, text))
    root = parse(text, report)
    shaped = shape(root, Path(name).stem, report) if root is not None else None
    if shaped is None:
        return LoadResult(diagnostics=report.finish(lambda path: None))
    environment = Environment(around.environ)
    offset = environment.port_offset(report)
    decoder = _decoder(report, environment, offset, shaped, literal=False)
    doc = decoder.decode(shaped.document, FleetDoc)
    result = LoadResult(legacy=shaped.legacy, kept=shaped.kept)
    if doc is BAD:
        result.diagnostics = report.finish(lambda path: None)
        return result
    context = Context(report, decoder.places, offset, around.is_here, around.machines)
    draft = resolve(doc, context)
    loops = _judge(draft, context, shaped, around, environment)
    result.draft, result.places, result.paths = draft.fleet, decoder.places, draft.paths
    owners = {path: identity for identity, path in draft.paths.items()}
    result.diagnostics = report.finish(lambda path: owners.get(path[:4]))
    fatal = any(
        found.severity is Severity.ERROR and (around.strict or not found.agent)
        for found in result.diagnostics
    )
    if not fatal:
        result.fleet = _usable(draft.fleet, result.diagnostics, loops)
    return result


def _decoder(
    report: Report, environment: Environment, offset: int, shaped: Shaped, *, literal: bool
) -> Decoder:
    expander = Expander(environment, report, lenient=shaped.legacy)

    def prepare(scalar: Scalar, marks: Mapping[str, object], path: KeyPath) -> Scalar | None:
        kind = marks.get("tandem")
        base = 0 if kind == "port" else offset
        expanded = expander.expand(scalar, path, offset=base, unset_is_null=kind == "host")
        if expanded is not None and kind == "host" and expanded.text == "":
            return Scalar(scalar.span, "", None, scalar.plain, expanded.variables)
        return expanded

    return Decoder(report, prepare, literal=literal)


def _judge(
    draft: Draft, context: Context, shaped: Shaped, around: Surroundings, environment: Environment
) -> list[list[str]]:
    """Everything that needs the whole fleet; returns the loops of needs."""
    names.link_names(draft, context)
    loops = names.find_cycles(draft, context)
    check.assign_ports(draft, context)
    check.check_ports(draft, context)
    check.check_vram(draft, context)
    if around.schemas is not None:
        literal = _decoder(context.report, environment, context.offset, shaped, literal=True)
        check.check_classes(draft, context, shaped.document, around.schemas, literal)
    return loops


def _usable(fleet: Fleet, diagnostics: list[Diagnostic], loops: list[list[str]]) -> Fleet:
    """``fleet`` without the agents that have errors, which become invalid ones."""
    wrong: dict[str, list[Diagnostic]] = {}
    for found in diagnostics:
        if found.agent and found.severity is Severity.ERROR:
            members = next(
                (loop for loop in loops if found.code == "cycle" and loop[0] == found.agent), [found.agent]
            )
            for member in members:
                wrong.setdefault(member, []).append(found)
    return structs.replace(
        fleet,
        agents={identity: agent for identity, agent in fleet.agents.items() if identity not in wrong},
        invalid={identity: _invalid(fleet, identity, found) for identity, found in wrong.items()},
    )


def _invalid(fleet: Fleet, identity: str, diagnostics: list[Diagnostic]) -> InvalidAgent:
    agent = AgentId(identity)
    group = next((group.name for group in fleet.groups.values() if identity in group.agents), "")
    return InvalidAgent(name=agent.name, machine=agent.machine, group=group, diagnostics=diagnostics)
