"""How a probe's target is found: a port, a side port by name, a path, or a whole address."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from tandem.fleet.diagnostics import did_you_mean
from tandem.fleet.document import ProbeDoc
from tandem.fleet.model import Probe

Complain = Callable[[str, str], None]
"""Reports a message and an advice."""

OWN = "health"
"""The side port probed by default; a program without one is probed on its port."""


def needs_port(written: Literal["zmq", "http"] | ProbeDoc) -> bool:
    """Whether the probe asks on a port of the program."""
    return not isinstance(written, ProbeDoc) or (written.exec is None and written.log_line is None)


def resolve_probe(
    written: Literal["zmq", "http"] | ProbeDoc,
    port: int | None,
    sides: dict[str, int],
    offset: int,
    complain: Complain,
) -> Probe | None:
    """The probe of a program on ``port`` with side ports ``sides`` (offset included); None after complaining."""
    doc = (
        written
        if isinstance(written, ProbeDoc)
        else ProbeDoc(zmq=OWN)
        if written == "zmq"
        else ProbeDoc(http=OWN)
    )
    rhythm = ProbeDoc(every_s=doc.every_s, timeout_s=doc.timeout_s, failures=doc.failures)
    said = [name for name in ("zmq", "http", "exec", "log_line") if getattr(doc, name) is not None]
    if len(said) != 1:
        complain("a probe says exactly one of zmq, http, exec and log-line", "")
        return None
    if doc.exec is not None:
        return _probe("exec", "", doc.exec, rhythm)
    if doc.log_line is not None:
        try:
            re.compile(doc.log_line)
        except re.error as error:
            complain(f"not a regular expression: {error}", "")
        return _probe("log-line", doc.log_line, [], rhythm)
    kind: Literal["zmq", "http"] = "zmq" if doc.zmq is not None else "http"
    target = _endpoint(kind, doc.zmq if doc.zmq is not None else doc.http, port, sides, offset, complain)
    return _probe(kind, target, [], rhythm) if target else None


def _probe(
    kind: Literal["zmq", "http", "exec", "log-line"], target: str, argv: list[str], rhythm: ProbeDoc
) -> Probe:
    return Probe(
        kind=kind,
        target=target,
        argv=argv,
        every_s=rhythm.every_s,
        timeout_s=rhythm.timeout_s,
        failures=rhythm.failures,
    )


def _endpoint(
    kind: str,
    target: int | str | None,
    port: int | None,
    sides: dict[str, int],
    offset: int,
    complain: Complain,
) -> str | None:
    scheme, tail = ("tcp", "") if kind == "zmq" else ("http", "/health")
    if isinstance(target, str) and "://" in target:
        return target
    if isinstance(target, str) and target.startswith("/") and kind == "http":
        target, tail = OWN, target
    if isinstance(target, int):
        return f"{scheme}://127.0.0.1:{target + offset}{tail}"
    name = str(target)
    chosen = sides.get(name, port if name == OWN else None)
    if chosen is None:
        what = "it has no port to ask" if name == OWN else f'"{name}" is not one of its side ports'
        hint = did_you_mean(name, sides) or "Say a port, a side port's name, or a whole address."
        complain(f"{kind} probe: {what}", hint)
        return None
    return f"{scheme}://127.0.0.1:{chosen}{tail}"
