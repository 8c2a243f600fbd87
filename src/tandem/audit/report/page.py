"""The audit as one HTML file: no scripts, nothing fetched, readable in the dark."""

from __future__ import annotations

import time
from collections.abc import Iterator
from html import escape
from itertools import groupby

from tandem.audit.model import Finding, Severity
from tandem.audit.rules.catalogue import BY_ID
from tandem.audit.summary import HEADINGS, Summary

_STYLE = """
:root { color-scheme: light dark; --edge: color-mix(in srgb, currentColor 18%, transparent); --dim: color-mix(in srgb, currentColor 62%, transparent);
  --error: #c62828; --warning: #b26a00; --note: #00728a; --good: #2e7d32; }
@media (prefers-color-scheme: dark) { :root { --error: #ff7b72; --warning: #e3b341; --note: #56d4e8; --good: #7ee787; } }
* { box-sizing: border-box; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 68rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin: 0; } h2 { margin: 2.5rem 0 .5rem; font-size: 1.2rem; } h3 { font-size: 1rem; display: inline; }
.dim { color: var(--dim); } .error { color: var(--error); } .warning { color: var(--warning); } .note { color: var(--note); } .good { color: var(--good); }
.tiles { display: flex; flex-wrap: wrap; gap: .75rem; margin: 1.25rem 0; }
.tile { border: 1px solid var(--edge); border-radius: .6rem; padding: .7rem 1.1rem; min-width: 9rem; }
.tile b { display: block; font-size: 1.7rem; line-height: 1.2; }
details { border-top: 1px solid var(--edge); padding: .6rem 0; } summary { cursor: pointer; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; } td, th { text-align: left; padding: .3rem .6rem .3rem 0; vertical-align: top; border-top: 1px solid var(--edge); }
td.n, th.n { text-align: right; } code { font: .86rem/1.4 ui-monospace, monospace; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
"""


def render(findings: list[Finding], summary: Summary) -> str:
    """The page as text; everything that comes from the tree is escaped."""
    title = f"Audit of {summary.root}"
    body = "\n".join(
        (*_head(summary), *_parts(findings), *_agents(summary), *_trend(summary), *_foot(summary))
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>\n'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">\n<style>{_STYLE}</style></head>\n'
        f"<body>\n<main>\n{body}\n</main>\n</body></html>\n"
    )


def _head(summary: Summary) -> Iterator[str]:
    yield f"<h1>Audit of <code>{escape(summary.root)}</code></h1>"
    made = time.strftime("%Y-%m-%d %H:%M")
    yield f'<p class="dim">{summary.files} files, {summary.lines:,} lines of Python, {summary.seconds:.1f} s, {made}</p>'
    for notice in summary.notices:
        yield f'<p class="warning">{escape(notice)}</p>'
    yield '<div class="tiles">'
    if summary.agents:
        stopped = sum(not agent.starts for agent in summary.agents)
        yield _tile(
            f"{stopped} of {len(summary.agents)}", "agents would not start", "error" if stopped else "good"
        )
    yield _tile(str(summary.errors), "stop it from starting", "error" if summary.errors else "good")
    yield _tile(str(summary.warnings), "will bite", "warning" if summary.warnings else "good")
    yield _tile(str(summary.notes), "are ugly", "note" if summary.notes else "good")
    yield _tile(str(summary.fixable), "have a ready fix", "good")
    yield "</div>"


def _tile(number: str, words: str, style: str) -> str:
    return f'<div class="tile"><b class="{style}">{escape(number)}</b>{escape(words)}</div>'


def _parts(findings: list[Finding]) -> Iterator[str]:
    for severity, heading in HEADINGS.items():
        chosen = sorted((item for item in findings if item.severity is severity), key=lambda item: item.rule)
        if not chosen:
            continue
        yield f'<h2 class="{severity.value}">{escape(heading)} ({len(chosen)})</h2>'
        groups = [(name, list(group)) for name, group in groupby(chosen, key=lambda item: item.rule)]
        for name, group in sorted(groups, key=lambda item: -len(item[1])):
            yield from _rule(name, group, opened=severity is Severity.ERROR)


def _rule(name: str, findings: list[Finding], *, opened: bool) -> Iterator[str]:
    rule = BY_ID[name]
    yield f"<details{' open' if opened else ''}><summary><h3>{escape(rule.title)}</h3> "
    yield f'<span class="dim">{escape(name)}, {len(findings)}</span></summary>'
    yield f'<p>{escape(rule.why)}<br><span class="good">→ {escape(rule.how)}</span></p><div class="wide"><table>'
    for item in findings:
        marks = [
            mark
            for mark, shown in (
                (item.confidence.value, item.confidence.value != "high"),
                ("fixable", item.fixable),
            )
            if shown
        ]
        note = f' <span class="dim">({", ".join(marks)})</span>' if marks else ""
        yield f"<tr><td><code>{escape(item.path)}:{item.line}</code></td><td>{escape(item.message)}{note}<br>"
        yield f'<code class="dim">{escape(item.source)}</code></td></tr>'
    yield "</table></div></details>"


def _agents(summary: Summary) -> Iterator[str]:
    if not summary.agents:
        return
    yield '<h2>Agents</h2><div class="wide"><table><tr><th>agent<th>machine<th>starts<th class="n">stops<th class="n">bites<th class="n">ugly<th>because</tr>'
    for agent in sorted(summary.agents, key=lambda item: (item.starts, item.machine, item.name)):
        state = '<span class="good">yes</span>' if agent.starts else '<span class="error">no</span>'
        yield (
            f"<tr><td>{escape(agent.name)}<td>{escape(agent.machine)}<td>{state}"
            f'<td class="n">{agent.errors}<td class="n">{agent.warnings}<td class="n">{agent.notes}'
            f"<td><code>{escape('; '.join(agent.blocked[:3]))}</code></tr>"
        )
    yield "</table></div>"


def _trend(summary: Summary) -> Iterator[str]:
    trend = summary.trend
    if trend is None:
        return
    since = time.strftime("%Y-%m-%d %H:%M", time.localtime(trend.since))
    yield f"<h2>Since {since}</h2><p>{trend.new} new, {trend.fixed} gone, {trend.known} still there</p><table>"
    for name, change in sorted(trend.rules.items(), key=lambda item: item[1]):
        style = "error" if change > 0 else "good"
        yield f'<tr><td class="n {style}">{change:+d}<td>{escape(name)}</tr>'
    yield "</table>"


def _foot(summary: Summary) -> Iterator[str]:
    if summary.skipped:
        yield "<h2>Not read</h2><ul>"
        yield from (f"<li><code>{escape(text)}</code></li>" for text in summary.skipped)
        yield "</ul>"
