"""Environment variables in a fleet file: ``${NAME}``, ``${NAME:-default}``, ``${PORT_OFFSET}+7200``, ``$$``.

A text made only of numbers, ``+`` and ``-`` after expansion is computed, so a port can be written relative to a
variable. The names the earlier system used for the same thing are understood (see :data:`ALIASES`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import urlsplit

from msgspec import Struct

from tandem.fleet.diagnostics import Path, Report, did_you_mean
from tandem.fleet.source import Scalar, plain_data

PORT_OFFSET = "PORT_OFFSET"

ALIASES: Mapping[str, tuple[str, ...]] = {"MAINPC_IP": ("MAIN_PC_IP",), "MAIN_PC_IP": ("MAINPC_IP",)}
"""Names that mean the same; the one written in the file wins when both are set."""

_REFERENCE = re.compile(r"\$\$|\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}|\$\{")
_SUM = re.compile(r"\s*[-+]?\s*\d+(\s*[-+]\s*\d+)+\s*")
_TERM = re.compile(r"([-+]?)\s*(\d+)")


class Environment(Struct, frozen=True):
    """The variables a fleet file may refer to. An empty value counts as unset."""

    variables: Mapping[str, str]

    def get(self, name: str) -> str | None:
        """Value of ``name`` or of an alias; MAINPC_IP also follows from the address in MAINPC_ENDPOINT."""
        for candidate in (name, *ALIASES.get(name, ())):
            if value := self.variables.get(candidate, ""):
                return value
        if name in ALIASES and (endpoint := self.variables.get("MAINPC_ENDPOINT", "")):
            return urlsplit(endpoint if "//" in endpoint else f"//{endpoint}").hostname
        return None

    def port_offset(self, report: Report) -> int:
        """``PORT_OFFSET`` as a number, 0 when unset; anything but 0 to 64511 is reported."""
        text = self.variables.get(PORT_OFFSET, "").strip() or "0"
        if text.isascii() and text.isdigit() and int(text) <= 64_511:
            return int(text)
        report.error(
            "port-offset",
            f'PORT_OFFSET is "{text}", it must be a whole number from 0 to 64511',
            None,
            suggestion="It is added to every port; try PORT_OFFSET=10000.",
        )
        return 0


class LegacyHub(Struct, frozen=True):
    """What the earlier system's variables say about the observability service; empty strings when unset.

    ``mode`` is HUB_MODE (``primary`` or ``forwarder`` and their synonyms), ``main_endpoint`` MAINPC_ENDPOINT and
    ``endpoint`` OBSERVABILITY_ENDPOINT (base URLs).
    """

    mode: str = ""
    main_endpoint: str = ""
    endpoint: str = ""

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> LegacyHub:
        mode = variables.get("HUB_MODE", "").strip().lower()
        known = {
            "central": "primary",
            "central_hub": "primary",
            "edge": "forwarder",
            "local_reporter": "forwarder",
        }
        return cls(
            known.get(mode, mode),
            variables.get("MAINPC_ENDPOINT", ""),
            variables.get("OBSERVABILITY_ENDPOINT", ""),
        )


class Expander:
    """Expands scalars of one file against one environment, reporting what is unset or malformed.

    ``offset`` is what PORT_OFFSET stands for; port fields use 0, since the offset is added to them anyway.
    """

    def __init__(self, environment: Environment, report: Report, *, lenient: bool = False):
        self._environment = environment
        self._report = report
        self._lenient = lenient

    def expand(
        self, scalar: Scalar, path: Path, *, offset: int, unset_is_null: bool = False
    ) -> Scalar | None:
        """``scalar`` with its references replaced, unchanged when it has none, None when that failed.

        With ``unset_is_null`` a text that consists of one unset reference becomes null instead of an error.
        """
        if "$" not in scalar.text:
            return scalar
        names: list[str] = []
        missing: list[str] = []
        malformed = False

        def replace(match: re.Match[str]) -> str:
            nonlocal malformed
            name, default = match.group(1), match.group(2)
            if match.group() == "$$":
                return "$"
            if name is None:
                malformed = True
                return ""
            names.append(name)
            value = str(offset) if name == PORT_OFFSET else self._environment.get(name)
            if value is None and default is None:
                missing.append(name)
            return (default or "") if value is None else value

        text = _REFERENCE.sub(replace, scalar.text)
        if malformed:
            self._malformed(scalar, path)
            return None
        if not names:
            return Scalar(scalar.span, text, text, scalar.plain)
        if missing and unset_is_null and text == "":
            return Scalar(scalar.span, "", None, scalar.plain, tuple(names))
        for name in missing:
            self._unset(name, scalar, path)
        if missing and not self._lenient:
            return None
        if _SUM.fullmatch(text):
            total = _total(text)
            return Scalar(scalar.span, str(total), total, scalar.plain, tuple(names))
        data = plain_data(text) if scalar.plain and text else text
        return Scalar(scalar.span, text, data, scalar.plain, tuple(names))

    def _malformed(self, scalar: Scalar, path: Path) -> None:
        self._report.error(
            "variable",
            "${ starts a variable that is not finished",
            scalar.span,
            path=path,
            suggestion="Write ${NAME} or ${NAME:-default}; write $${ for a literal ${.",
        )

    def _unset(self, name: str, scalar: Scalar, path: Path) -> None:
        message = f"the environment variable {name} is not set"
        hint = did_you_mean(name, (known for known in self._environment.variables if known != name))
        if self._lenient:
            self._report.warning(
                "unset-variable", f"{message}; taken as empty", scalar.span, path=path, suggestion=hint
            )
            return
        advice = f"Set it, or give a default: ${{{name}:-value}}."
        self._report.error(
            "unset-variable", message, scalar.span, path=path, suggestion=f"{hint} {advice}".strip()
        )


def _total(text: str) -> int:
    return sum(int(digits) * (-1 if sign == "-" else 1) for sign, digits in _TERM.findall(text))
