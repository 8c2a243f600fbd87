"""What `tandem doctor` finds on the hub's computer. It runs as a process of its own: some checks import every agent."""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import msgspec
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import Response

from tandem.core import clock
from tandem.core.checkup import Finding
from tandem.core.errors import Unavailable
from tandem.fleet.model import Fleet
from tandem.hub.web.render import page, part, view_of, wanted_part
from tandem.hub.web.words import plural_of

PATIENCE_S = 120.0
_ORDER = {"problem": 0, "note": 1, "ok": 2}


class Visit(Struct, frozen=True):
    """What was found at Unix time ``at``, the worst first."""

    at: float
    took_s: float
    checks: list[Finding]


class _Printed(Struct, frozen=True):
    checks: list[Finding]


class Visits:
    """The last visit of the doctor, and the way to call it again."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._last: Visit | None = None
        self._under_way: asyncio.Task[Visit] | None = None

    async def show(self, request: Request) -> Response:
        """The page."""
        values: dict[str, Any] = {
            "visit": self._last,
            "machine": view_of(request).me.machine,
            "headline": _headline(self._last),
        }
        if wanted_part(request):
            return part(request, "doctor_part.html", **values)
        return page(request, "doctor", "doctor.html", heading="Doctor", **values)

    async def make(self, _request: Request) -> Response:
        """Call the doctor; who asks while it is at work waits for the same visit."""
        if self._under_way is None or self._under_way.done():
            self._under_way = asyncio.create_task(self._visit(), name="doctor")
        self._last = await asyncio.shield(self._under_way)
        return Response(status_code=204)

    async def _visit(self) -> Visit:
        began = clock.monotonic()
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "from tandem.cli.main import main; main()", "doctor", "--json",
            *(["--fleet", self._fleet.file] if self._fleet.file else []),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        try:
            async with asyncio.timeout(PATIENCE_S):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            raise Unavailable(
                f"the doctor was not done within {PATIENCE_S:g} s", hint="tandem doctor"
            ) from None
        try:
            found = msgspec.json.decode(out, type=_Printed).checks
        except msgspec.MsgspecError:
            last = err.decode("utf-8", "replace").strip().splitlines()[-1:]
            raise Unavailable(f"the doctor could not say: {' '.join(last)}", hint="tandem doctor") from None
        checks = sorted(found, key=lambda finding: _ORDER[finding.verdict])
        return Visit(clock.wall(), clock.monotonic() - began, checks)


def _headline(visit: Visit | None) -> str:
    if visit is None:
        return "The doctor has not been here yet."
    problems = sum(finding.verdict == "problem" for finding in visit.checks)
    notes = sum(finding.verdict == "note" for finding in visit.checks)
    if problems:
        return f"{plural_of(problems, 'problem')} to mend."
    return f"Nothing is in the way; {plural_of(notes, 'note')}." if notes else "Nothing is in the way."
