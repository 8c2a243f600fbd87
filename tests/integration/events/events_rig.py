"""The events, the policy and the looks into streams that tests of the bus share."""

from __future__ import annotations

from tandem.events import DEAD_LETTERS, Bus, ConsumerPolicy, Event

QUICK = ConsumerPolicy(retry_delays_s=(0.05, 0.05, 0.05))


class FactLearned(Event, topic="fact.learned"):
    """What the tests announce."""

    number: int
    text: str = ""


class DoorOpened(Event, topic="door.opened"):
    """Something else."""

    door: str


async def dead_letters(bus: Bus) -> list[tuple[str, dict[str, str]]]:
    """Every dead letter's subject and headers."""
    stream = (await bus.connection.client()).jetstream()
    state = (await stream.stream_info(DEAD_LETTERS)).state
    if not state.messages:
        return []
    letters = [await stream.get_msg(DEAD_LETTERS, seq) for seq in range(state.first_seq, state.last_seq + 1)]
    return [(letter.subject, letter.headers) for letter in letters]
