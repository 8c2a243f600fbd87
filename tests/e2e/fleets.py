"""Small fleet files of test agents. Their ports are ports of the real fleet, so offsets keep all of them apart."""

from __future__ import annotations


def fleet_of(agents: str, *, head: str = "") -> str:
    """A fleet of one machine and one group; ``agents`` are its entries, indented by nothing."""
    entries = "".join(f"      {line}\n" for line in agents.strip().splitlines())
    return f"fleet: small\n{head}groups:\n  test:\n    agents:\n{entries}"


GREETER = "Greeter: {class: fleet_agents.greeter:Greeter, port: 5709}"
FRIEND = "Friend: {class: fleet_agents.greeter:Friend, needs: [Greeter]}"
PAIR = fleet_of(f"{GREETER}\n{FRIEND}")
