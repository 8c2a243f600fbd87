from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tandem.agent.fence import FILE, Fence


async def test_epochs_grow_and_only_one_holds(tmp_path: Path) -> None:
    """The second holder waits until the first lets go, and its epoch is greater; both are on the disk."""
    first, second = Fence(tmp_path), Fence(tmp_path)
    assert await first.take() == 1
    waiting = asyncio.create_task(second.take())
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), 0.1)
    first.release()
    assert await waiting == 2
    second.release()
    assert (tmp_path / FILE).read_text().strip() == "2"


async def test_a_damaged_epoch_file_begins_anew(tmp_path: Path) -> None:
    """Nonsense in the file counts as no epoch at all."""
    (tmp_path / FILE).write_text("zwölf")
    fence = Fence(tmp_path)
    assert await fence.take() == 1
    fence.release()
    fence.release()
