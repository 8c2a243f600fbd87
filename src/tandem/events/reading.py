"""Reads what a stream holds now, once, without leaving anything behind on the server."""

from __future__ import annotations

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

FETCH = 256
FETCH_TIMEOUT_S = 5.0


async def read_all(client: Client, stream: str, subject: str, *, latest: bool = False) -> list[Msg]:
    """The messages on ``subject`` (wildcards welcome) in order; with ``latest`` only the last of each subject.

    Raises nats-py's errors when the server refuses or does not answer.
    """
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT if latest else DeliverPolicy.ALL,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=2 * FETCH_TIMEOUT_S,
    )
    subscription = await client.jetstream().pull_subscribe(subject, stream=stream, config=config)
    found: list[Msg] = []
    try:
        left = (await subscription.consumer_info()).num_pending or 0
        while left > 0:
            messages = await subscription.fetch(min(left, FETCH), timeout=FETCH_TIMEOUT_S)
            found += messages
            left -= len(messages)
    except nats.errors.TimeoutError:
        if not client.is_connected:
            raise
        # What was pending may have expired or been replaced since we asked; the rest has been read.
    finally:
        if client.is_connected:
            await subscription.unsubscribe()
    return found
