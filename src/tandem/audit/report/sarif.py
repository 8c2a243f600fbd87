"""The audit as SARIF 2.1.0 (OASIS), which code hosts and editors read."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import msgspec

import tandem
from tandem.audit.baseline import fingerprint
from tandem.audit.model import Confidence, Finding, Rule
from tandem.audit.rules.catalogue import RULES
from tandem.audit.summary import Summary

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/os/schemas/sarif-schema-2.1.0.json"
_RANK = {Confidence.HIGH: 95.0, Confidence.MEDIUM: 70.0, Confidence.LOW: 40.0}
"""SARIF's ``rank`` runs from 0 to 100."""


def render(findings: list[Finding], summary: Summary) -> str:
    """One run with every rule described and every finding located."""
    numbers = {rule.id: number for number, rule in enumerate(RULES)}
    run = {
        "tool": {
            "driver": {
                "name": "tandem audit",
                "version": tandem.__version__,
                "semanticVersion": tandem.__version__,
                "rules": [_rule(rule) for rule in RULES],
            }
        },
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {"ROOT": {"description": {"text": "the audited tree"}}},
        "invocations": [
            {
                "executionSuccessful": True,
                "toolExecutionNotifications": [
                    {"level": "warning", "message": {"text": text}} for text in summary.notices
                ],
            }
        ],
        "results": [_result(finding, numbers[finding.rule]) for finding in findings],
    }
    log = {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}
    return msgspec.json.format(msgspec.json.encode(log), indent=2).decode() + "\n"


def _rule(rule: Rule) -> dict[str, Any]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": rule.how},
        "defaultConfiguration": {"level": rule.severity.value},
    }


def _result(finding: Finding, number: int) -> dict[str, Any]:
    return {
        "ruleId": finding.rule,
        "ruleIndex": number,
        "level": finding.severity.value,
        "rank": _RANK[finding.confidence],
        "message": {"text": finding.message},
        "locations": [
            {
                "physicalLocation": {
                    "artifactLocation": {"uri": quote(finding.path), "uriBaseId": "ROOT"},
                    "region": {
                        "startLine": finding.line,
                        "startColumn": finding.column,
                        "snippet": {"text": finding.source},
                    },
                }
            }
        ],
        "partialFingerprints": {"tandemAudit/v1": fingerprint(finding)},
        "properties": {"confidence": finding.confidence.value, "fixable": finding.fixable},
    }
