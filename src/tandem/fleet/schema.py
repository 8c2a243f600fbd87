"""The JSON Schema of a fleet file, for editors; made from the same types that judge the file."""

from __future__ import annotations

from typing import Any

import msgspec

from tandem.fleet.document import FleetDoc

_VARIABLE = {"type": "string", "pattern": r"\$\{[A-Za-z_][A-Za-z0-9_]*(:-[^{}]*)?\}"}
"""What any single value may be instead: a text with a variable in it."""

_SINGLE = ("integer", "number", "boolean")


def json_schema() -> dict[str, Any]:
    """Schema of our shape (JSON Schema 2020-12): ``x-`` keys are free, variables may stand for any single value."""
    schema = msgspec.json.schema(FleetDoc)
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Tandem fleet file",
        **schema,
    }
    loosened: dict[str, Any] = _loosen(found)
    return loosened


def _loosen(node: Any) -> Any:
    if isinstance(node, list):
        return [_loosen(item) for item in node]
    if not isinstance(node, dict):
        return node
    loosened = {key: _loosen(value) for key, value in node.items()}
    if "properties" in loosened and loosened.get("additionalProperties") is False:
        loosened["patternProperties"] = {"^x-": {}}
    if loosened.get("type") in _SINGLE:
        described = {key: loosened.pop(key) for key in ("title", "description", "default") if key in loosened}
        return {**described, "anyOf": [loosened, _VARIABLE]}
    if loosened.get("type") == "string" and "pattern" in loosened:
        return {"anyOf": [loosened, {"type": "integer"}, _VARIABLE]}
    return loosened
