"""Whether the agents of a release can be loaded, asked of its own interpreter and code before anything is touched."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from tandem.core.errors import TandemError
from tandem.fleet.model import AgentConfig
from tandem.supervise.boot import python_path
from tandem.supervise.release import Code

PATIENCE_S = 120.0


class Part(Struct, frozen=True):
    """One agent to be loaded."""

    agent: str
    class_path: str
    settings: dict[str, Any]


def rehearse(
    agents: Iterable[AgentConfig], code: Code, env: dict[str, str], fleet_dir: str
) -> dict[str, str]:
    """Why agents (by identity) cannot be loaded; empty when all can. Raises :class:`TandemError` when nobody can tell."""
    parts = [Part(str(a.id), a.class_path, a.settings) for a in agents if a.class_path is not None]
    if not parts:
        return {}
    environment = env | python_path(code, env, fleet_dir)
    try:
        done = subprocess.run(
            [code.python or sys.executable, "-P", "-m", "tandem.release.rehearsal"],
            input=msgspec.json.encode(parts), capture_output=True, env=environment, cwd=fleet_dir,
            timeout=PATIENCE_S, check=False,
        )  # fmt: skip
        return msgspec.json.decode(done.stdout.splitlines()[-1], type=dict[str, str])
    except (subprocess.TimeoutExpired, msgspec.DecodeError, IndexError) as error:
        raise TandemError(
            f"the new release cannot be tried: {error}", hint="tandem config validate"
        ) from error


def load_all(parts: Iterable[Part]) -> dict[str, str]:
    """Import each class and fill its settings; agent to what is wrong."""
    from tandem.agent.load import load_agent_class
    from tandem.agent.runtime import make_settings

    wrong = {}
    for part in parts:
        try:
            make_settings(load_agent_class(part.class_path), part.settings)
        except TandemError as error:
            wrong[part.agent] = error.message
        except BaseException as error:  # a module may raise anything at all, SystemExit included
            wrong[part.agent] = f"{type(error).__name__}: {error}"
    return wrong


if __name__ == "__main__":
    answer = load_all(msgspec.json.decode(sys.stdin.buffer.read(), type=list[Part]))
    print(f"\n{msgspec.json.encode(answer).decode()}")
