"""A cable between two network namespaces, with its faults: ``wire.py NS_A NS_B CIDR_A CIDR_B``.

Two TUN devices joined by this process at the IP layer, because the kernels of many build machines lack sch_netem.
Commands come as lines on standard input, each answered by ``ok``:

    set DELAY_MS JITTER_MS LOSS_PERCENT   for each direction; losses come by chance, but never three in a row
    cut                                   the cable is pulled: no carrier, nothing passes
    blackhole a|b|both                    packets sent by that side vanish, with the carrier up
    heal                                  undo cut and blackhole
    capture FILE                          write every packet that passes to a pcap file; ``capture -`` ends it

It ends with its standard input, and with it the devices.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import heapq
import os
import random
import select
import struct
import subprocess
import sys
import time
from typing import BinaryIO

TUNSETIFF = 0x400454CA
TUNSETCARRIER = 0x400454E2
IFF_TUN = 0x0001
IFF_NO_PI = 0x1000
CLONE_NEWNET = 0x4000_0000
DEVICE = "wire0"
MTU = 1400
LINKTYPE_RAW = 101
"""Packets begin with the IP header (https://www.tcpdump.org/linktypes.html)."""

_PCAP_HEADER = struct.pack("=IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, LINKTYPE_RAW)
_libc = ctypes.CDLL(None, use_errno=True)


def enter(namespace: str | int) -> None:
    """Move this thread into a network namespace, by name or descriptor."""
    fd = namespace if isinstance(namespace, int) else os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if _libc.setns(fd, CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), f"setns {namespace}")
    finally:
        if not isinstance(namespace, int):
            os.close(fd)


def make_device(namespace: str, cidr: str) -> int:
    """A TUN device with an address in ``namespace``; the descriptor of its other side."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    enter(namespace)
    try:
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH", DEVICE.encode(), IFF_TUN | IFF_NO_PI))
    finally:
        enter(home)
        os.close(home)
    for command in (f"addr add {cidr} dev {DEVICE}", f"link set {DEVICE} mtu {MTU} up"):
        subprocess.run(["ip", "-n", namespace, *command.split()], check=True)
    return fd


class Wire:
    """Carries packets between the two descriptors until standard input ends."""

    def __init__(self, a: int, b: int):
        self._other = {a: b, b: a}
        self._sides = {"a": (a,), "b": (b,), "both": (a, b)}
        self._delay_s = self._jitter_s = 0.0
        self._one_lost_of = 0
        self._place = dict.fromkeys(self._other, 0)
        self._lost_at = dict.fromkeys(self._other, 0)
        self._dropped: tuple[int, ...] = ()
        """Descriptors of the sides whose packets vanish."""
        self._queue: list[tuple[float, int, int, bytes]] = []
        self._last = dict.fromkeys(self._other, 0.0)
        self._count = 0
        self._capture: BinaryIO | None = None
        self._commands = b""

    def run(self) -> None:
        while True:
            self._deliver(time.monotonic())
            wait = max(0.0, self._queue[0][0] - time.monotonic()) if self._queue else None
            readable, _, _ = select.select([*self._other, 0], [], [], wait)
            for fd in readable:
                if fd != 0:
                    self._take(fd)
                elif not self._listen():
                    return

    def _deliver(self, now: float) -> None:
        while self._queue and self._queue[0][0] <= now:
            _, _, target, packet = heapq.heappop(self._queue)
            # A full device or one whose namespace is going away loses packets, as a real one does.
            with contextlib.suppress(OSError):
                os.write(target, packet)

    def _take(self, fd: int) -> None:
        for _ in range(64):
            try:
                packet = os.read(fd, 65_535)
            except BlockingIOError:
                return
            if fd in self._dropped or self._is_lost(fd):
                continue
            now = time.monotonic()
            if self._capture is not None:
                self._record(packet)
            delay = self._delay_s + random.uniform(-self._jitter_s, self._jitter_s)
            due = self._last[fd] = max(self._last[fd], now + max(0.0, delay))
            self._count += 1
            if due <= now and not self._queue:
                with contextlib.suppress(OSError):
                    os.write(self._other[fd], packet)
            else:
                heapq.heappush(self._queue, (due, self._count, self._other[fd], packet))

    def _is_lost(self, fd: int) -> bool:
        """Whether the side's next packet is the one of its run that vanishes.

        Were each lost by a chance of its own, one and its repetitions would be lost together now and then: a cut.
        """
        if not self._one_lost_of:
            return False
        if self._place[fd] == 0:
            self._lost_at[fd] = random.randrange(self._one_lost_of)
        is_lost = self._place[fd] == self._lost_at[fd]
        self._place[fd] = (self._place[fd] + 1) % self._one_lost_of
        return is_lost

    def _record(self, packet: bytes) -> None:
        assert self._capture is not None
        seconds, micros = divmod(time.time_ns() // 1000, 1_000_000)
        self._capture.write(struct.pack("=IIII", seconds, micros, len(packet), len(packet)) + packet)

    def _listen(self) -> bool:
        received = os.read(0, 4096)
        if not received:
            return False
        *lines, self._commands = (self._commands + received).split(b"\n")
        for line in lines:
            self._obey(line.decode().split())
            print("ok", flush=True)
        return True

    def _obey(self, words: list[str]) -> None:
        match words:
            case ["set", delay, jitter, loss]:
                self._delay_s, self._jitter_s = float(delay) / 1e3, float(jitter) / 1e3
                self._one_lost_of = round(100 / float(loss)) if float(loss) else 0
                self._place = dict.fromkeys(self._other, 0)
            case ["cut"]:
                self._dropped = self._sides["both"]
                self._queue.clear()
                self._carrier(up=False)
            case ["blackhole", side]:
                self._dropped = self._sides[side]
            case ["heal"]:
                self._dropped = ()
                self._carrier(up=True)
            case ["capture", "-"]:
                if self._capture is not None:
                    self._capture.close()
                self._capture = None
            case ["capture", file]:
                self._capture = open(file, "wb")  # noqa: SIM115 - until the next command
                self._capture.write(_PCAP_HEADER)
            case _:
                raise SystemExit(f"unknown command: {words}")

    def _carrier(self, *, up: bool) -> None:
        for fd in self._other:
            fcntl.ioctl(fd, TUNSETCARRIER, struct.pack("i", up))


if __name__ == "__main__":
    space_a, space_b, cidr_a, cidr_b = sys.argv[1:]
    wire = Wire(make_device(space_a, cidr_a), make_device(space_b, cidr_b))
    print("ok", flush=True)
    wire.run()
