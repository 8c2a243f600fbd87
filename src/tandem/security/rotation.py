"""New keys for a machine, with nothing lost and nobody shut out on the way.

    begin    the new keys are put in place; the former seed stays beside them, and what it made stays good
    …        whoever runs gets new keys, in any order: both generations are admitted
    finish   secrets are encrypted anew, then the former generation is revoked, then its seed is forgotten

Each step may be killed at any moment and done again. Between them the machine works, for as long as it takes.
"""

from __future__ import annotations

from tandem.core.paths import Home
from tandem.security.authority import Authority
from tandem.security.secrets import SecretStore


def begin(authority: Authority, machine: str) -> None:
    """Give ``machine`` new keys, unless it has some already that wait for :func:`finish`.

    Raises :class:`~tandem.core.errors.ConfigError` without the CA's private key on this computer.
    """
    authority.machine(machine)
    authority.begin_rotation(machine)


def finish(home: Home, authority: Authority, machine: str) -> int:
    """Encrypt the machine's secrets with its new keys, and refuse the former ones; how many secrets there are."""
    # This order: a secret that only the former seed could open must not outlive it.
    count = SecretStore(home, authority.machine(machine)).reseal()
    authority.end_rotation(machine)
    return count
