"""All rules, in the order the guide explains them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from fnmatch import fnmatch

from tandem.audit.model import Rule
from tandem.audit.rules import (
    agent_without_base,
    compose_rules,
    config_agents,
    config_ports,
    duplicate_code,
    hardcoded_address,
    health_dialect,
    log_without_rotation,
    path_hack,
    plain_credential,
    recv_without_timeout,
    shared_sqlite_writer,
    socket_outside_pool,
    syntax_error,
    threads_and_asyncio,
    undefined_name,
    unused_module,
    zmq_error_publisher,
)
from tandem.core.errors import ConfigError

RULES: tuple[Rule, ...] = (
    syntax_error.RULE,
    undefined_name.RULE,
    hardcoded_address.RULE,
    agent_without_base.RULE,
    recv_without_timeout.RULE,
    socket_outside_pool.RULE,
    zmq_error_publisher.RULE,
    health_dialect.RULE,
    shared_sqlite_writer.RULE,
    threads_and_asyncio.RULE,
    log_without_rotation.RULE,
    plain_credential.RULE,
    path_hack.RULE,
    unused_module.RULE,
    duplicate_code.RULE,
    *config_agents.RULES,
    *config_ports.RULES,
    *compose_rules.RULES,
)
BY_ID = {rule.id: rule for rule in RULES}


def select(patterns: Iterable[str]) -> frozenset[str]:
    """The ids that ``patterns`` (shell patterns such as ``config-*``) name; all when there are none.

    Raises :class:`ConfigError` for a pattern that names no rule.
    """
    chosen: set[str] = set()
    for pattern in patterns:
        found = [name for name in BY_ID if fnmatch(name, pattern)]
        if not found:
            close = difflib.get_close_matches(pattern, BY_ID, n=1)
            raise ConfigError(
                f"no rule is called {pattern!r}",
                hint=f"did you mean {close[0]}?" if close else "see docs/audit.md",
            )
        chosen.update(found)
    return frozenset(chosen or BY_ID)
