"""Secrets planted in a running fleet, and every place searched where they must not be."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import re
import signal
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from fleets import fleet_of
from household import Household, MakeHousehold, contents, eventually

from tandem.api import start_turn
from tandem.core.errors import RemoteError

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

STORED, FILED, EXPORTED = "Kq7vX2mZp9-STORED-aaaa", "Wn4tY8rJc3-FILED-bbbb", "Hd6sB1fLg5-EXPORTED-cccc"
ALL = (STORED, FILED, EXPORTED)

FLEET = """
Holder:
  class: fleet_agents.holder:Holder
  settings: {{api_key: "secret:openai", nested: {{list: ["secret-file:{file}"]}}}}
  env: {{HOLDER_KEY: "secret-env:HOLDER_SOURCE"}}
Executed:
  class: fleet_agents.holder:Holder
  launch: exec
  settings: {{api_key: "secret:openai", nested: {{list: ["secret-file:{file}"]}}}}
  env: {{HOLDER_KEY: "secret-env:HOLDER_SOURCE"}}
Program:
  command: [python, -c, "import os, time; print(len(os.environ['KEY']), flush=True); time.sleep(9e5)"]
  env: {{KEY: "secret:openai"}}
"""


def leaks(data: bytes) -> list[str]:
    """Which secrets are in ``data``, plain or in base64."""
    shapes = {secret: (secret.encode(), base64.b64encode(secret.encode()).rstrip(b"=")) for secret in ALL}
    return [secret for secret, forms in shapes.items() if any(form in data for form in forms)]


def visible(household: Household) -> Iterator[tuple[str, bytes]]:
    """Command line and environment of every process of the household, and every file of its home and sockets' folder."""
    for pid in household.processes():
        for what in ("cmdline", "environ"):
            try:
                yield f"/proc/{pid}/{what}", Path(f"/proc/{pid}/{what}").read_bytes()
            except (PermissionError, ProcessLookupError, FileNotFoundError):
                continue
    for path, data in contents(household.home.root, household.run_root):
        yield str(path), data


@pytest.fixture
def household(make_household: MakeHousehold, tmp_path: Path) -> Household:
    private = tmp_path / "private.txt"
    private.write_text(FILED + "\n")
    private.chmod(0o400)
    return make_household(fleet_of(FLEET.format(file=private)), HOLDER_SOURCE=EXPORTED)


def call(household: Household, agent: str, action: str) -> Any:
    async def run() -> Any:
        async with household.connected() as connection:
            with start_turn():
                return await getattr(connection.peer(agent), action)()

    return asyncio.run(run())


def test_a_secret_is_nowhere_but_with_its_agent(household: Household) -> None:
    """Careless agents log, print, report, trace, raise and show their secrets; no file, process or command shows one."""
    assert household.tandem("secrets", "set", "openai", stdin=STORED.encode() + b"\n").status == 0
    household.up()
    program = eventually(lambda: the_program(household), "the program")
    for agent in ("Holder", "Executed"):
        facts = call(household, agent, "facts")
        assert {key: facts[key] for key in ("key", "nested", "env")} == {"key": "aaaa", "nested": "bbbb", "env": "cccc"}
        call(household, agent, "babble")
        with pytest.raises(RemoteError) as caught:
            call(household, agent, "explode")
        assert "bad key [redacted]" in str(caught.value)
        assert leaks(repr(call(household, agent, "settings")).encode()) == []
        assert leaks(repr(call(household, agent, "describe")).encode()) == []
    eventually(lambda: any("no luck" in line for line in household.logs("Executed")))
    eventually(lambda: "cannot log in" in household.tandem("status").out)
    eventually(lambda: "login" in household.tandem("trace", "last", "--json").text or household.logs("Holder"))
    crash(household)
    said = [
        household.tandem(*words)
        for words in (
            ["doctor"], ["doctor", "--json"], ["machine", "trail", "--json"], ["config", "explain", "Holder", "settings"],
            ["ports", "--json"], ["analyze"], ["plan"],
            ["status", "--json"], ["status"], ["logs", "--lines", "0"], ["config", "show"], ["config", "show", "--json"],
            ["config", "explain", "Holder"], ["trace"], ["trace", "last", "--json"], ["node"], ["secrets", "list"],
            ["secrets", "list", "--json"], ["graph", "--json"],
        )
    ]  # fmt: skip
    assert leaks("".join(one.text for one in said).encode()) == []
    own = f"/proc/{program}/environ"
    found = {place: seen for place, data in visible(household) if (seen := leaks(data))}
    if os.access(own, os.R_OK):
        assert found.pop(own) == [STORED]
    # The keeper was started by the shell that exported the variable; nobody but root reads its environment.
    keepers = {place for place, seen in found.items() if seen == [EXPORTED] and _is_keeper(place)}
    assert {place: seen for place, seen in found.items() if place not in keepers} == {}


def the_program(household: Household) -> int | None:
    """The process id of the program that is no agent of ours."""
    for pid in household.processes():
        with contextlib.suppress(psutil.Error):
            if "time.sleep(9e5)" in " ".join(psutil.Process(pid).cmdline()):
                return pid
    return None


def crash(household: Household) -> None:
    """End both agents as a fault in native code does. The kernel may not write their memory anywhere."""
    for name, fault in (("Holder", signal.SIGSEGV), ("Executed", signal.SIGABRT)):
        before = household.agent(name)
        limits = Path(f"/proc/{before['pid']}/limits").read_text()
        assert re.search(r"Max core file size +0 +0 ", limits)
        os.kill(before["pid"], fault)
        eventually(lambda name=name, before=before: (row := household.agent(name))["restarts"] > before["restarts"] and row["pid"], f"{name} to be back")
    assert [path for path, _ in contents(household.directory) if path.name.startswith("core") and "code" not in str(path)] == []


def _is_keeper(place: str) -> bool:
    return place.endswith("/environ") and b"tandem.supervise.keeper" in Path(place).with_name("cmdline").read_bytes()


def test_secrets_come_and_go(household: Household) -> None:
    """An agent whose secret is missing says so and how to set it, starts once it is set, and gets a rotated one anew."""
    said = household.tandem("up", "--timeout", "120")
    assert said.status == 1
    assert "tandem secrets set openai" in said.text
    listed = household.tandem("secrets", "list", "--json")
    assert listed.status == 1
    assert [(row["name"], row["where"]) for row in listed.json] == [("openai", "missing")]
    assert household.tandem("secrets", "rotate", "openai", stdin=b"x").status == 1
    assert household.tandem("secrets", "set", "openai", stdin=STORED.encode()).status == 0
    eventually(lambda: household.agent("Holder")["state"] == "healthy")
    rotated = household.tandem("secrets", "rotate", "openai", stdin=b"a-new-value-dddd")
    assert "tandem restart Holder@" in rotated.out
    household.tandem("restart", "Holder")
    eventually(lambda: household.agent("Holder")["state"] == "healthy")
    eventually(lambda: call(household, "Holder", "facts")["key"] == "dddd")
    assert household.tandem("secrets", "remove", "openai").status == 0
    assert household.tandem("secrets", "remove", "openai").status == 1
    store = next((household.home.root / "secrets").glob("*.json"))
    assert stat.S_IMODE(store.stat().st_mode) == 0o400
    trail = next(household.home.root.glob("machines/*/security.jsonl")).read_text().splitlines()
    events = [json.loads(line)["event"] for line in trail]
    assert [event for event in events if event.startswith("secret ")] == ["secret set", "secret rotated", "secret removed"]


@pytest.mark.parametrize(
    ("words", "stdin", "status"),
    [
        (["set", "openai"], b"", 78),
        (["set", "no/such name"], b"x", 78),
        (["set", "openai"], b"\xff\xfe", 78),
        (["set", "openai"], b"x" * 70_000, 1),
        (["set", "openai", "--machine", "mars"], b"x", 1),
        (["set", "openai", "the-value"], b"", 2),
    ],
)
def test_what_cannot_be_a_secret(household: Household, words: list[str], stdin: bytes, status: int) -> None:
    """Empty, binary and huge values, odd names, unknown machines and a value as argument are refused with a reason."""
    said = household.tandem("secrets", *words, stdin=stdin)
    assert said.status == status, said.text
    assert said.err
    assert not list((household.home.root / "secrets").glob("*.json"))
