"""What the hub reads from NVML: a stand-in for the driver's library, behind the same functions and structures."""

from __future__ import annotations

import ctypes
from typing import Any

import pytest

from tandem.hub import devices as module
from tandem.hub.devices import Devices

MIB = 1 << 20
NOT_FOUND = 6
"""NVML_ERROR_NOT_FOUND, https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceEnumvs.html"""


class Library:
    """As libnvidia-ml.so.1: fills what it is given a pointer to, and answers 0 or an error's number."""

    def __init__(self, cards: list[tuple[str, int, int] | None], init: int = 0):
        self._cards = cards
        self._init = init

    def nvmlInit_v2(self) -> int:
        return self._init

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:
        count._obj.value = len(self._cards)
        return 0

    def nvmlDeviceGetHandleByIndex_v2(self, number: int, device: Any) -> int:
        device._obj.value = number + 1
        return 0

    def nvmlDeviceGetMemoryInfo(self, device: ctypes.c_void_p, memory: Any) -> int:
        card = self._cards[(device.value or 0) - 1]
        if card is None:
            return NOT_FOUND
        # total, free, used: 24 bytes in this order, whatever the names on our side are.
        ctypes.memmove(memory, (ctypes.c_ulonglong * 3)(card[2], card[2] - card[1], card[1]), 24)
        return 0

    def nvmlDeviceGetName(self, device: ctypes.c_void_p, name: Any, length: int) -> int:
        card = self._cards[(device.value or 0) - 1]
        assert card is not None and len(card[0]) < length
        name.value = card[0].encode()
        return 0


def devices(monkeypatch: pytest.MonkeyPatch, library: Library | None) -> Devices:
    def load(name: str) -> Library:
        assert name == "libnvidia-ml.so.1"
        if library is None:
            raise OSError("cannot open shared object file")
        return library

    monkeypatch.setattr(module.ctypes, "CDLL", load)
    return Devices()


def test_memory_of_every_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """Name, used and total come from the structure's own places; a card that fell off the bus is left out."""
    cards = [("NVIDIA RTX 4090", 300 * MIB, 24_564 * MIB), None, ("NVIDIA RTX 3060", 1 * MIB, 12_288 * MIB)]
    assert devices(monkeypatch, Library(cards)).read() == [cards[0], cards[2]]


@pytest.mark.parametrize("library", [None, Library([("X", 1, 2)], init=999)], ids=["no driver", "driver does not start"])
def test_without_a_driver_there_are_no_cards(monkeypatch: pytest.MonkeyPatch, library: Library | None) -> None:
    """Nothing is claimed and nothing fails where the library is missing or refuses."""
    assert devices(monkeypatch, library).read() == []
