"""The audit as JSON; its schema is published beside this file as ``schema.json``."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

import msgspec
from msgspec import Struct

import tandem
from tandem.audit.model import Confidence, Finding, Severity
from tandem.audit.rules.catalogue import BY_ID
from tandem.audit.summary import Summary

SCHEMA_VERSION = 1


class JsonFinding(Struct, frozen=True, kw_only=True):
    """A finding with its rule's explanation beside it."""

    rule: str
    path: str
    line: int
    column: int
    message: str
    severity: Severity
    confidence: Confidence
    fixable: bool
    why: str
    how: str
    source: str


class Document(Struct, frozen=True, kw_only=True):
    """The whole output."""

    version: int
    tool: dict[str, str]
    findings: list[JsonFinding]
    summary: Summary


def document(findings: list[Finding], summary: Summary) -> Document:
    """The output as a structure."""
    listed = [
        JsonFinding(
            rule=item.rule,
            path=item.path,
            line=item.line,
            column=item.column,
            message=item.message,
            severity=item.severity,
            confidence=item.confidence,
            fixable=item.fixable,
            why=BY_ID[item.rule].why,
            how=BY_ID[item.rule].how,
            source=item.source,
        )
        for item in findings
    ]
    tool = {"name": "tandem audit", "version": tandem.__version__}
    return Document(version=SCHEMA_VERSION, tool=tool, findings=listed, summary=summary)


def render(findings: list[Finding], summary: Summary) -> str:
    """The output as indented JSON text."""
    return msgspec.json.format(msgspec.json.encode(document(findings, summary)), indent=2).decode() + "\n"


def schema() -> dict[str, Any]:
    """The published JSON Schema of the output."""
    text = files("tandem.audit.report").joinpath("schema.json").read_bytes()
    found: dict[str, Any] = msgspec.json.decode(text)
    return found


def make_schema() -> dict[str, Any]:
    """The schema as the structures above have it; ``schema.json`` must equal it."""
    made: dict[str, Any] = msgspec.json.schema(Document)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": "https://tandem.invalid/schemas/audit-1.json",
        "title": "Output of tandem audit --format json",
        **made,
    }
