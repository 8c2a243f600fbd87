"""Commands a person may copy, from the pages and from our own hints, are commands there are."""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest
import typer

from tandem.cli.command import EXTENSION_GROUP, VERBS

ROOT = Path(__file__).parents[3]
PAGES = [*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md")]
CODE = [path for package in ("tandem", "tandem_agents") for path in (ROOT / "src" / package).rglob("*.py")]
COMMAND = re.compile(r"(?:^(?:\$ )?|(?<=`)|(?<=\"))tandem (?P<words>[a-z][^\n`\"'|;)#,]*)", re.MULTILINE)
"""At the beginning of a line, or of something quoted."""
NO_COMMANDS = {"tandem join {purpose}"}
"""Label of a key that is derived."""
PASSED_ON = {"bench"}
"""Its options are the benchmark's."""


@cache
def command(verb: str) -> Any:
    """The verb as typer makes it, None for one that does not exist."""
    if verb in VERBS:
        module, _, attribute = VERBS[verb].module.partition(":")
        return typer.main.get_command(getattr(importlib.import_module(module), attribute or "app"))
    added = [entry for entry in entry_points(group=EXTENSION_GROUP) if entry.name == verb]
    return typer.main.get_command(added[0].load()) if added else None


def mistakes(words: list[str]) -> Iterator[str]:
    """What of a command line does not exist."""
    verb, *rest = words
    found = command(verb)
    if found is None:
        yield f"no verb {verb}"
        return
    if verb in PASSED_ON:
        return
    while (inner := getattr(found, "commands", {})) and rest and re.fullmatch(r"[a-z][a-z-]*", rest[0]):
        if rest[0] not in inner:
            yield f"no {rest[0]} in tandem {verb}"
            return
        found = inner[rest.pop(0)]
    known = {option for parameter in found.params for option in (*parameter.opts, *parameter.secondary_opts)}
    for word in rest:
        option = word.lstrip("[").rstrip(".:]").partition("=")[0]
        if re.fullmatch(r"-[a-zA-Z]|--[a-z-]+", option) and option not in known | {"-h", "--help"}:
            yield f"no option {option} in tandem {verb}"


@pytest.mark.parametrize("files", [PAGES, CODE], ids=["pages", "code"])
def test_every_command_exists(files: list[Path]) -> None:
    """Each ``tandem VERB …`` names a verb, a part of it and options that there are."""
    wrong, seen = [], 0
    for path in files:
        for match in COMMAND.finditer(path.read_text(encoding="utf-8")):
            if path.name == "design.md" or match[0] in NO_COMMANDS:
                continue
            seen += 1
            wrong += [f"{path.relative_to(ROOT)}: {match[0]}: {mistake}" for mistake in mistakes(match["words"].split())]
    assert wrong == []
    assert seen > 100
