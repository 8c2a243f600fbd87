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


@pytest.mark.parametrize("damage", [b"", b"57", "zwölf\n".encode(), bytes(range(256)) * 4])
async def test_a_damaged_epoch_file_never_counts_back(tmp_path: Path, damage: bytes) -> None:
    """Stores that have seen an epoch refuse lower ones: empty, cut off or nonsense, the next epoch is above all before."""
    (tmp_path / FILE).write_bytes(damage)
    fence = Fence(tmp_path)
    epoch = await fence.take()
    assert epoch > 1_000_000_000
    fence.release()
    assert await fence.take() == epoch + 1
    fence.release()
    fence.release()
