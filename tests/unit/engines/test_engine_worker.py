"""Threads for libraries that block."""

from __future__ import annotations

import asyncio
import threading

import pytest

from tandem_agents.engines.worker import Emit, Worker

BOUND_S = 60.0


async def reached(event: threading.Event) -> None:
    assert await asyncio.to_thread(event.wait, BOUND_S)


async def test_calls_run_one_after_the_other_on_one_thread() -> None:
    """A library that is not thread-safe sees one thread and its calls in order."""
    worker, seen = Worker("t"), []

    def call(number: int) -> None:
        seen.append((number, threading.current_thread().name))

    await asyncio.gather(*(worker.run(call, number) for number in range(20)))
    worker.close()
    assert [number for number, _ in seen] == list(range(20))
    assert len({name for _, name in seen}) == 1


async def test_a_call_cancelled_before_its_turn_never_starts() -> None:
    """Withdrawn work costs nothing."""
    worker, gate, started = Worker("t"), threading.Event(), threading.Event()
    first = asyncio.ensure_future(worker.run(gate.wait, BOUND_S))
    second = asyncio.ensure_future(worker.run(started.set))
    await asyncio.sleep(0)
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    gate.set()
    assert await first
    await worker.run(lambda: None)
    worker.close()
    assert not started.is_set()


async def test_a_stream_delivers_every_item_in_order_and_then_the_error() -> None:
    """What was produced before a failure is not lost, and the failure is not swallowed."""
    worker = Worker("t")

    def produce(emit: Emit[int]) -> None:
        for number in range(100):
            assert emit(number)
        raise ValueError("broke")

    stream = worker.stream(produce)
    seen = [await anext(stream) for _ in range(100)]
    with pytest.raises(ValueError, match="broke"):
        await anext(stream)
    worker.close()
    assert seen == list(range(100))


async def test_closing_a_stream_stops_its_producer() -> None:
    """``emit`` tells the thread that nobody listens, so it stops and the worker is free again."""
    worker, ended = Worker("t"), threading.Event()

    def produce(emit: Emit[int]) -> None:
        number = 0
        while emit(number):
            number += 1
        ended.set()

    stream = worker.stream(produce)
    assert await anext(stream) == 0
    await stream.aclose()
    await reached(ended)
    assert await worker.run(lambda: "free") == "free"
    worker.close()


async def test_one_ahead_computes_the_next_while_one_is_consumed_and_no_more() -> None:
    """The second result is under way when the first arrives; the third is not begun before that."""
    worker, began = Worker("t"), [threading.Event() for _ in range(4)]

    def call(number: int) -> int:
        began[number].set()
        return number

    results = worker.one_ahead([lambda number=number: call(number) for number in range(4)])
    assert await anext(results) == 0
    await reached(began[1])
    assert not began[2].is_set()
    assert [number async for number in results] == [1, 2, 3]
    worker.close()


async def test_one_ahead_reports_the_error_of_the_call_that_failed() -> None:
    """Results before a failure arrive; the failure is raised in its place."""
    worker = Worker("t")

    def fail() -> int:
        raise ValueError("broke")

    results = worker.one_ahead([lambda: 1, fail, lambda: 3])
    assert await anext(results) == 1
    with pytest.raises(ValueError, match="broke"):
        await anext(results)
    worker.close()
    assert [each async for each in Worker("t").one_ahead([])] == []


async def test_what_was_submitted_before_closing_still_runs() -> None:
    """Closing does not skip the call that frees a library's memory."""
    worker, freed = Worker("t"), threading.Event()
    worker.submit(freed.set)
    worker.close()
    await reached(freed)
