"""The streams of one machine and their links to the other machines.

JetStream domains separate the API of two servers, not their subjects. So every subject carries its machine,
``X_LOCAL`` binds only its own machine's prefix, and ``X_ALL`` binds none: it sources the LOCAL of every machine, on
every machine. Consumers read ``X_ALL``, which therefore holds everything this machine has heard of so far.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from dataclasses import fields

from msgspec import Struct
from nats.aio.client import Client
from nats.js import JetStreamContext
from nats.js.api import (
    DiscardPolicy,
    ExternalStream,
    PersistMode,
    StorageType,
    StreamConfig,
    StreamSource,
)
from nats.js.errors import NotFoundError

from tandem.core.ids import AgentId

log = logging.getLogger(__name__)

DAY_S = 86400.0
MIB = 1024 * 1024

DUPLICATE_WINDOW_S = 120.0
"""Within it JetStream recognises a message id; longer than any publisher's budget."""


class StreamPair(Struct, frozen=True, kw_only=True):
    """What one machine stores of its own (``local``) and what it has heard of everywhere (``all``)."""

    name: str
    prefix: str
    max_age_s: float
    max_bytes: int
    memory: bool = False

    @property
    def local(self) -> str:
        return f"{self.name}_LOCAL"

    @property
    def all(self) -> str:
        return f"{self.name}_ALL"


EVENTS = StreamPair(name="EVENTS", prefix="event", max_age_s=7 * DAY_S, max_bytes=256 * MIB)
ERRORS = StreamPair(name="ERRORS", prefix="errors", max_age_s=7 * DAY_S, max_bytes=256 * MIB)
# Traces are looked at, not relied on: memory spares a turn the disk's time.
TRACES = StreamPair(name="TRACES", prefix="trace", max_age_s=3600.0, max_bytes=16 * MIB, memory=True)
# What hubs keep for each other: measurements, and which alerts were sent. A day of a link that is cut.
HUB = StreamPair(name="HUB", prefix="hub", max_age_s=DAY_S, max_bytes=64 * MIB)
PAIRS = (EVENTS, ERRORS, TRACES, HUB)

DEAD_LETTERS = "DEAD_LETTERS"


def dead_letter_subject(consumer: AgentId, topic: str) -> str:
    """Where the messages ``consumer`` could not handle end up."""
    return f"dead.{consumer.machine}.{consumer.name}.{topic}"


async def ensure_streams(client: Client, machine: str, peers: Iterable[str] = ()) -> None:
    """Create this machine's streams, or bring existing ones to what is wanted here; keeps their messages.

    ``peers`` are the other machines' names (their JetStream domains). A peer that is not connected yet is no error:
    its source starts when it comes. Raises nats-py's errors when JetStream refuses or does not answer.
    """
    stream_manager = client.jetstream()
    others = sorted(set(peers) - {machine})
    for pair in PAIRS:
        for config in _pair_configs(pair, machine, others):
            await ensure_stream(stream_manager, config)
    await ensure_stream(
        stream_manager,
        StreamConfig(
            name=DEAD_LETTERS,
            subjects=[f"dead.{machine}.>"],
            max_age=30 * DAY_S,
            max_bytes=64 * MIB,
            discard=DiscardPolicy.OLD,
            duplicate_window=DUPLICATE_WINDOW_S,
        ),
    )


def _pair_configs(pair: StreamPair, machine: str, others: list[str]) -> tuple[StreamConfig, StreamConfig]:
    storage = StorageType.MEMORY if pair.memory else StorageType.FILE
    local = StreamConfig(
        name=pair.local,
        subjects=[f"{pair.prefix}.{machine}.>"],
        max_age=pair.max_age_s,
        max_bytes=pair.max_bytes,
        storage=storage,
        discard=DiscardPolicy.OLD,
        duplicate_window=DUPLICATE_WINDOW_S,
    )
    sources = [StreamSource(name=pair.local), *(_source(pair, other) for other in others)]
    everywhere = local.evolve(name=pair.all, subjects=None, sources=sources)
    # A copy need not be on the disk message by message: what a crash takes off its end is fetched again from the LOCAL
    # ones, and consumers are set back to that end by the server. Ten times as fast, which is what catching up waits for.
    return local, everywhere if pair.memory else everywhere.evolve(persist_mode=PersistMode.ASYNC)


def _source(pair: StreamPair, other: str) -> StreamSource:
    return StreamSource(name=pair.local, external=ExternalStream(api=f"$JS.{other}.API"))


async def ensure_stream(stream_manager: JetStreamContext, wanted: StreamConfig) -> None:
    """Create the stream, or update it where it differs from what is wanted; its messages and consumers stay.

    How a stream is kept (``storage``) and how it gets onto the disk (``persist_mode``) is decided for good when it is
    made: nats-server refuses the whole update otherwise. One made by an earlier release stays as it is in these two.
    """
    assert wanted.name is not None
    try:
        existing = (await stream_manager.stream_info(wanted.name)).config
    except NotFoundError:
        # The server leaves out a stream whose description it cannot read. Made again it has the messages that are there, and
        # those who copy it take it for another one and begin at its first.
        kept = (await stream_manager.add_stream(wanted)).state.messages
        if kept:
            log.warning(
                "nats-server could not read what stream %s is: it is made anew with its %d messages, which may be delivered again",
                wanted.name, kept,
            )  # fmt: skip
        return
    wanted = wanted.evolve(storage=existing.storage, persist_mode=existing.persist_mode)
    if _differs(existing, wanted):
        log.info("updating stream %s", wanted.name)
        await stream_manager.update_stream(wanted)


def _differs(existing: StreamConfig, wanted: StreamConfig) -> bool:
    """Whether a field we set is otherwise on the server, which fills in what we leave open."""
    for field in fields(wanted):
        value, present = getattr(wanted, field.name), getattr(existing, field.name)
        if field.name == "sources":
            if sorted(map(_link, value or [])) != sorted(map(_link, present or [])):
                return True
        elif value is not None and value != present and not (field.name == "duplicate_window" and value == 0):
            return True
    return False


def _link(source: StreamSource) -> str:
    return f"{source.external.api if source.external else ''}/{source.name}"
