"""The agent's own event loop."""

from __future__ import annotations

import asyncio
import ctypes
import mmap
import socket
import struct

from tandem.agent.loop import give_back_zeros, new_event_loop


def resident(address: int, size: int) -> int:
    """Bytes from ``address`` on that take memory, by page (proc(5), /proc/pid/pagemap: bit 63 present, bit 62 swapped)."""
    with open("/proc/self/pagemap", "rb") as pages:
        pages.seek(address // mmap.PAGESIZE * 8)
        entries = pages.read(size // mmap.PAGESIZE * 8)
    return sum(entry >> 62 != 0 for (entry,) in struct.iter_unpack("=Q", entries)) * mmap.PAGESIZE


def test_zeros_are_given_back_and_everything_reads_as_before() -> None:
    """Pages of zeros cost nothing afterwards; a page with anything on it, and what lies around, stays."""
    pages = 64
    area = mmap.mmap(-1, pages * mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.write(bytes(pages * mmap.PAGESIZE))
    area[5 * mmap.PAGESIZE + 7] = 42
    before = bytes(area[:])
    view = ctypes.c_char.from_buffer(area)
    address = ctypes.addressof(view)
    held = resident(address, pages * mmap.PAGESIZE)
    given = give_back_zeros(address + 1, pages * mmap.PAGESIZE - 1)
    assert given == (pages - 2) * mmap.PAGESIZE
    assert held - resident(address, pages * mmap.PAGESIZE) == given
    assert bytes(area[:]) == before
    del view


def test_a_loop_works_after_it() -> None:
    """The loop reads what is sent to it, larger than its buffer's first page."""
    loop = new_event_loop()

    async def talk() -> int:
        ours, theirs = socket.socketpair()
        reader, writer = await asyncio.open_connection(sock=ours)
        theirs.setblocking(False)
        sent = asyncio.create_task(asyncio.get_running_loop().sock_sendall(theirs, b"x" * 200_000))
        received = len(await reader.readexactly(200_000))
        await sent
        writer.close()
        theirs.close()
        return received

    try:
        assert loop.run_until_complete(talk()) == 200_000
    finally:
        loop.close()
