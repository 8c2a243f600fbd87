"""Every contract says what its agent does."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import typing

import pytest

import tandem_agents
from tandem.agent import Agent
from tandem.agent.contract import agent_of
from tandem.agent.declare import declarations, is_idempotent

GROUPS = (
    "core_services",
    "memory_system",
    "utility_services",
    "language_processing",
    "memory_services",
    "infrastructure",
    "web_services",
)


def contracts() -> list[type]:
    found = []
    for name in (*(f"{group}.contracts" for group in GROUPS), "core_services.system_contracts"):
        module = importlib.import_module(f"tandem_agents.{name}")
        found += [
            thing
            for thing in vars(module).values()
            if "__tandem_agent__" in getattr(thing, "__dict__", {}) and thing.__module__ == module.__name__
        ]
    return found


def agents() -> dict[str, type[Agent]]:
    found: dict[str, type[Agent]] = {}
    for group in (*GROUPS, "audio_interface"):
        package = importlib.import_module(f"tandem_agents.{group}")
        for entry in pkgutil.iter_modules(package.__path__):
            module = importlib.import_module(f"{package.__name__}.{entry.name}")
            found |= {
                name: thing for name, thing in vars(module).items()
                if inspect.isclass(thing) and issubclass(thing, Agent) and thing.__module__ == module.__name__
            }  # fmt: skip
    return found


AGENTS = agents()


@pytest.mark.parametrize("contract", contracts(), ids=lambda contract: contract.__name__)
def test_a_contract_agrees_with_its_agent(contract: type) -> None:
    """Each method of the contract is an action of the agent with the same arguments, defaults, types and promise of idempotence."""
    agent = AGENTS[agent_of(contract)]
    actions = declarations(agent).actions
    for name, promised in inspect.getmembers(contract, inspect.isfunction):
        if name.startswith("_"):
            continue
        assert name in actions, f"{agent.__name__} has no action {name}"
        kept = getattr(agent, actions[name].method)
        promise, fact = inspect.signature(promised), inspect.signature(kept)
        assert [(p.name, p.default) for p in promise.parameters.values()] == [
            (p.name, p.default) for p in fact.parameters.values()
        ], name
        assert typing.get_type_hints(promised) == typing.get_type_hints(kept), name
        assert is_idempotent(promised) == is_idempotent(kept), name


def test_the_gateway_fulfils_the_store_s_contract() -> None:
    """MemoryClient answers every action of the memory store with the same signature."""
    from tandem_agents.memory_services.contracts import MemoryStore

    gateway = AGENTS["MemoryClient"]
    for name, promised in inspect.getmembers(MemoryStore, inspect.isfunction):
        if not name.startswith("_"):
            assert str(inspect.signature(promised)) == str(inspect.signature(getattr(gateway, name))), name


def test_importing_agents_loads_no_engine() -> None:
    """The modules of agents import without numpy or any model library, since one process preloads them all."""
    import subprocess
    import sys

    names = [
        f"tandem_agents.{group}.{entry.name}"
        for group in GROUPS
        for entry in pkgutil.iter_modules([f"{tandem_agents.__path__[0]}/{group}"])
    ]
    code = f"import sys\nfor n in {names!r}: __import__(n)\nprint([m for m in ('numpy', 'onnxruntime', 'xllamacpp', 'httpx', 'tokenizers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
