"""The audit as a page of text for a terminal."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import groupby

from tandem.audit.baseline import Trend
from tandem.audit.model import Finding, Severity
from tandem.audit.rules.catalogue import BY_ID
from tandem.audit.summary import HEADINGS, AgentSummary, Summary

Paint = Callable[[str, str], str]
_STYLES = {"bold": "1", "dim": "2", "error": "1;31", "warning": "33", "note": "36", "good": "32"}
_SHOWN = 5
"""Findings shown of each rule before 'and N more'."""


def _paint(text: str, style: str) -> str:
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m"


def _plain(text: str, style: str) -> str:
    return text


def render(
    findings: list[Finding], summary: Summary, *, color: bool = False, everything: bool = False
) -> str:
    """The page: verdict, the three parts gravest first, the agents, the trend."""
    paint = _paint if color else _plain
    limit = len(findings) if everything else _SHOWN
    parts = [*_head(summary, paint)]
    for severity, heading in HEADINGS.items():
        chosen = [finding for finding in findings if finding.severity is severity]
        if chosen:
            parts.extend(
                [
                    "",
                    paint(f"{heading.upper()}  {len(chosen)}", severity.value),
                    *_rules(chosen, limit, paint),
                ]
            )
    if summary.agents:
        parts.extend(["", paint("AGENTS", "bold"), *_agents(summary.agents, paint)])
    if summary.trend is not None:
        parts.extend(["", *_trend(summary.trend, paint)])
    parts.extend(["", *_foot(summary, paint)])
    return "\n".join(parts) + "\n"


def _head(summary: Summary, paint: Paint) -> Iterator[str]:
    reused = f", {summary.reused} unchanged" if summary.reused else ""
    yield paint(f"Audit of {summary.root}", "bold")
    yield paint(
        f"{summary.files} files, {summary.lines:,} lines of Python, {summary.seconds:.1f} s{reused}", "dim"
    )
    if summary.agents:
        stopped = sum(not agent.starts for agent in summary.agents)
        total = len(summary.agents)
        verdict = (
            f"{stopped} of {total} agents would not start."
            if stopped
            else f"Nothing keeps the {total} agents from starting."
        )
        yield paint(verdict, "error" if stopped else "good")
    if not summary.errors + summary.warnings + summary.notes:
        yield paint("Nothing found.", "good")
    for notice in summary.notices:
        yield paint(f"Note: {notice}", "warning")


def _rules(findings: list[Finding], limit: int, paint: Paint) -> Iterator[str]:
    by_rule = {
        name: list(group)
        for name, group in groupby(sorted(findings, key=lambda item: item.rule), lambda item: item.rule)
    }
    for name, group in sorted(by_rule.items(), key=lambda item: -len(item[1])):
        rule = BY_ID[name]
        yield ""
        yield f"  {paint(f'{rule.title}', 'bold')} {paint(f'({name}, {len(group)})', 'dim')}"
        yield paint(f"    {rule.why}", "dim")
        for finding in group[:limit]:
            mark = " (fixable)" if finding.fixable else ""
            sure = "" if finding.confidence.value == "high" else f" [{finding.confidence.value} confidence]"
            yield f"    {finding.path}:{finding.line}:{finding.column}  {finding.message}{paint(sure + mark, 'dim')}"
        if len(group) > limit:
            yield paint(f"    and {len(group) - limit} more: --rule {name} --all", "dim")
        yield f"    {paint('→', 'good')} {rule.how}"


def _agents(agents: list[AgentSummary], paint: Paint) -> Iterator[str]:
    width = max(len(agent.name) for agent in agents)
    places = max(len(agent.machine) for agent in agents)
    yield paint(f"  {'':{width}}  {'':{places}}  {'':9}  stops  bites   ugly", "dim")
    for agent in sorted(agents, key=lambda item: (item.starts, item.machine, item.name)):
        state = paint(f"{'starts':9}", "good") if agent.starts else paint("will not ", "error")
        numbers = f"{agent.errors or '·':>6} {agent.warnings or '·':>6} {agent.notes or '·':>6}"
        because = paint(f"   {agent.blocked[0]}", "dim") if agent.blocked else ""
        yield f"  {agent.name:{width}}  {agent.machine:{places}}  {state} {numbers}{because}"


def _trend(trend: Trend, paint: Paint) -> Iterator[str]:
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(trend.since))
    style = "error" if trend.new > trend.fixed else "good"
    yield paint(f"SINCE {since}", "bold") + paint(
        f"  {trend.new} new, {trend.fixed} gone, {trend.known} still there", style
    )
    for name, change in sorted(trend.rules.items(), key=lambda item: item[1]):
        yield f"  {change:+5d}  {name}"


def _foot(summary: Summary, paint: Paint) -> Iterator[str]:
    counts = [
        paint(f"{number} {word}", severity.value)
        for severity, number, word in (
            (Severity.ERROR, summary.errors, "stop it"),
            (Severity.WARNING, summary.warnings, "will bite"),
            (Severity.NOTE, summary.notes, "are ugly"),
        )
    ]
    yield ", ".join(counts) + "."
    if summary.fixable:
        yield f"`tandem fix {summary.root}` has a change for {summary.fixable} of them; `--diff` shows it."
    if summary.skipped:
        shown = "; ".join(summary.skipped[:3]) + (
            f"; and {len(summary.skipped) - 3} more" if len(summary.skipped) > 3 else ""
        )
        yield paint(f"Not read: {shown}", "dim")
