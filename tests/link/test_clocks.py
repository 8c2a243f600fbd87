"""Two computers whose clocks disagree."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from rig import TwoComputers, eventually_async, two_computers

pytestmark = [pytest.mark.link, pytest.mark.timeout(400)]

AHEAD_S = 20.0
CUSTOMIZE = f"""
import time
_time, _time_ns = time.time, time.time_ns
time.time = lambda: _time() + {AHEAD_S}
time.time_ns = lambda: _time_ns() + {int(AHEAD_S)} * 10**9
"""
"""Python runs this at the start of every process of the computer; a namespace for clocks shifts monotonic time only."""


@pytest.fixture
def skewed(namespaces: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoComputers]:
    """Both up; the clock of pc2 is ahead."""
    directory = tmp_path_factory.mktemp("clocks")
    with two_computers(directory) as rig:
        ahead = directory / "ahead"
        ahead.mkdir()
        (ahead / "sitecustomize.py").write_text(CUSTOMIZE)
        rig.pc2.environment["PYTHONPATH"] = str(ahead)
        rig.up()
        rig.await_link("up")
        yield rig


async def test_clocks_that_disagree_are_tolerated_and_told(skewed: TwoComputers) -> None:
    """Calls and events pass both ways as ever, and each side says how far the other's clock is off."""
    async with skewed.operators() as both:
        for operator in both:

            async def reaches(operator: object = operator) -> bool:
                return not (await operator.twin("hello"))["error"]  # type: ignore[attr-defined]

            await eventually_async(reaches, "a call across")
            await operator.tell(f"skewed-{operator.machine}")
        for operator in both:

            async def has_heard(operator: object = operator) -> bool:
                return len(await operator.heard("skewed")) == 2  # type: ignore[attr-defined]

            await eventually_async(has_heard, "both events")

    def told() -> bool:
        links = [computer.link()["clock_ahead_s"] for computer in skewed]
        return None not in links and abs(links[0] - AHEAD_S) < 1 and abs(links[1] + AHEAD_S) < 1

    await eventually_async(lambda: asyncio.to_thread(told), "the difference to be known")
    assert "s ahead of ours" in skewed.mainpc.tandem("status").out
    assert "s behind ours" in skewed.pc2.tandem("status").out
