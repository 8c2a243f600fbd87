"""Who may say and hear what: NATS subjects and Valkey keys, per agent. The one place where these names meet the servers.

An agent speaks only for its machine and itself: its machine's events, its own errors and dead letters, its own inbox.
Everything that tells agents what to believe (``epoch.<machine>``, streams, others' leases) belongs to the node.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from msgspec import Struct

from tandem.core.errors import ConfigError

EVENT_STREAM = "EVENTS_ALL"
BRIDGE = "bridge"
"""In whose name a hub passes on what an old error bus says of others."""
EPOCH_SUBJECTS = "epoch.*"
"""The node of ``<machine>`` announces revocations on ``epoch.<machine>``."""
MACHINE_PREFIXES = ("event", "trace", "errors", "presence", "dead", "epoch", "renew", "hub")
"""First tokens of subjects whose second token is the machine they come from."""

_STREAM_CHANGES = ("CREATE", "UPDATE", "DELETE", "PURGE", "RESTORE", "MSG.DELETE")

_NAME = re.compile(r"[A-Za-z0-9_-]+")


class SubjectRules(Struct, frozen=True):
    """Permissions of one NATS user; nothing outside ``publish`` and ``subscribe`` is allowed, ``deny`` goes before them."""

    publish: tuple[str, ...]
    subscribe: tuple[str, ...]
    deny_publish: tuple[str, ...] = ()


def check_name(name: str) -> str:
    """``name`` when it is safe as a subject token, a consumer name and a key; else :class:`ConfigError`."""
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name an agent or a machine", hint="use letters, digits, - and _")
    return name


def inbox_prefix(subject: str) -> str:
    """The inbox only ``subject`` (an agent's bare name, or ``node``) may listen on."""
    return f"_INBOX.{check_name(subject)}"


def agent_subjects(agent: str, machine: str) -> SubjectRules:
    """An ordinary agent: publish events, traces and its own errors; consume events."""
    return SubjectRules(
        publish=(
            f"event.{machine}.>",
            f"trace.{machine}.>",
            f"errors.{machine}.{agent}.>",
            f"presence.{machine}.{agent}",
            f"renew.{machine}.{agent}",
            f"dead.{machine}.{agent}.>",
            *_api(machine, ("INFO", "STREAM.NAMES", f"STREAM.INFO.{EVENT_STREAM}")),
            *_api(machine, _consuming(EVENT_STREAM)),
            *_acknowledgements(EVENT_STREAM),
        ),
        subscribe=(f"{inbox_prefix(agent)}.>", "event.>", EPOCH_SUBJECTS),
    )


def observer_subjects(agent: str, machine: str) -> SubjectRules:
    """The observability hub: all an agent may, and read every stream and bucket. On ``hub.<machine>.<name>`` each observer
    speaks for itself; hubs believe what other hubs say there, so no ordinary agent can."""
    own = agent_subjects(agent, machine)
    reads = (
        "STREAM.LIST", "STREAM.INFO.*", "STREAM.MSG.GET.*", "DIRECT.GET.>",
        "CONSUMER.CREATE.>", "CONSUMER.DURABLE.CREATE.>", "CONSUMER.INFO.>", "CONSUMER.MSG.NEXT.>",
    )  # fmt: skip
    return SubjectRules(
        publish=(*own.publish, f"errors.{machine}.{BRIDGE}.>", f"hub.{machine}.{agent}", *_api(machine, reads), "$JS.ACK.>", "$JS.FC.>"),
        subscribe=(*own.subscribe, "trace.>", "errors.>", "presence.>", "dead.>", "hub.>", "$KV.>"),
    )


def leaf_denials(others: Iterable[str]) -> tuple[str, ...]:
    """What a linked machine may not say: anything in the name of ``others``, or that would change their streams.

    Key-value buckets need no rule: servers of different JetStream domains keep ``$KV.>`` to themselves.
    """
    denied: list[str] = []
    for other in others:
        denied += [f"{prefix}.{other}.>" for prefix in MACHINE_PREFIXES]
        denied.append(f"epoch.{other}")
        denied += [f"$JS.{other}.API.STREAM.{verb}.>" for verb in _STREAM_CHANGES]
    return tuple(denied)


def valkey_rules(server: str, agent: str) -> str:
    """ACL rules of an agent at ``control`` or ``cache`` (https://valkey.io/topics/acl/).

    ``control``: its own lease and anything below ``own:<Agent>:``, everybody's leases and the cut links to read.
    ``cache``: its own namespace to write, everybody's and ``shared:`` to use.
    """
    keys = {
        "control": f"~agent:ready:{agent} ~own:{agent}:* ~rate:{agent}:* %R~agent:ready:* %R~link:cut:* &agent:* "
        "&__keyspace@0__:agent:ready:*",
        "cache": f"~cache:{agent}:* ~shared:* %R~cache:* &cache:*",
    }[server]
    commands = "+@read +@write +@pubsub +@connection +@transaction +@scripting +waitaof -@dangerous -function"
    return f"resetchannels {keys} {commands} +client|setname +client|setinfo +info"


def _consuming(stream: str) -> tuple[str, ...]:
    # A subject's wildcard stands for whole tokens, and a consumer's name is one token, so names of the form
    # <Agent>-<topic> cannot be told apart here. Deleting is left out: the worst is taking part in another's queue.
    return (f"CONSUMER.CREATE.{stream}.>", f"CONSUMER.INFO.{stream}.*", f"CONSUMER.MSG.NEXT.{stream}.*")


def _acknowledgements(stream: str) -> tuple[str, ...]:
    # The longer form carries the domain and the account's hash before the stream.
    return (f"$JS.ACK.{stream}.>", f"$JS.ACK.*.*.{stream}.>")


def _api(machine: str, requests: Iterable[str]) -> tuple[str, ...]:
    """JetStream requests as this machine's clients may spell them: with and without the domain."""
    return tuple(
        f"{prefix}.{request}" for request in requests for prefix in ("$JS.API", f"$JS.{machine}.API")
    )
