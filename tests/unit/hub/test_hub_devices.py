"""What the hub reads from NVML: a stand-in for the driver's library, behind the same functions and structures."""

from __future__ import annotations

import ctypes
import struct
from typing import Any

import pytest

from tandem.hub import devices as module
from tandem.hub import overruns as overruns_module
from tandem.hub.devices import Devices
from tandem.hub.overruns import PATIENCE_S, held_by, lasting, overruns
from tandem.hub.picture import AgentPicture

MIB = 1 << 20
NOT_FOUND = 6
"""NVML_ERROR_NOT_FOUND, https://docs.nvidia.com/deploy/nvml-api/group__nvmlDeviceEnumvs.html"""

INSUFFICIENT_SIZE = 7
"""NVML_ERROR_INSUFFICIENT_SIZE."""


class Library:
    """As libnvidia-ml.so.1: fills what it is given a pointer to, and answers 0 or an error's number."""

    def __init__(
        self,
        cards: list[tuple[str, int, int] | None],
        init: int = 0,
        holders: list[list[tuple[int, int]]] | None = None,
    ):
        self._cards = cards
        self._init = init
        if holders is not None:
            self._holders = holders
            self.nvmlDeviceGetComputeRunningProcesses_v3 = self._running

    def _running(self, device: ctypes.c_void_p, count: Any, infos: Any) -> int:
        found = self._holders[(device.value or 0) - 1]
        if count._obj.value < len(found):
            return INSUFFICIENT_SIZE
        count._obj.value = len(found)
        for number, (pid, used) in enumerate(found):
            # pid, four bytes of padding, used, GPU instance, compute instance: 24 bytes, whatever our side calls them.
            data = struct.pack("=IxxxxQII", pid, used, 0xFFFFFFFF, 0xFFFFFFFF)
            ctypes.memmove(ctypes.addressof(infos) + 24 * number, data, 24)
        return 0

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


def test_what_each_process_holds_on_all_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """Added up over the cards, by pid; a process of which the driver does not tell is left out."""
    card = ("X", 1, 2)
    library = Library([card, card], holders=[[(11, 300 * MIB), (12, 5 * MIB), (13, 2**64 - 1)], [(11, 200 * MIB)]])
    assert devices(monkeypatch, library).held() == {11: 500 * MIB, 12: 5 * MIB}


def test_nothing_is_claimed_where_the_driver_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    """An old driver without the question, one with more processes than we have room for, or none at all: nobody is blamed."""
    card = ("X", 1, 2)
    crowd = [[(pid, MIB) for pid in range(1, 400)]]
    for library in (Library([card]), Library([card], holders=crowd), None):
        assert devices(monkeypatch, library).held() == {}


def test_only_who_is_above_its_share_for_a_minute_is_told() -> None:
    """A burst while a model loads is no fault, a share that fits never; what was declared and what is held is said with the fix."""
    declared = {"Big": 1000, "Fits": 1000}
    now = 0.0
    found = overruns([], {"Big": 1001, "Fits": 1000, "Guest": 64}, declared, now)
    assert [o.agent for o in found] == ["Big", "Guest"] and lasting(found, PATIENCE_S - 0.1) == []
    found = overruns(found, {"Big": 1500}, declared, PATIENCE_S)
    [told] = lasting(found, PATIENCE_S)
    issue = told.issue()
    assert "Big holds 1500 MiB" in issue.message and "1000 declared" in issue.message and "vram_mb" in issue.fix
    assert not issue.blocking
    found = overruns(found, {"Big": 900}, declared, PATIENCE_S + 10)
    assert found == []
    again = overruns(found, {"Big": 1500}, declared, PATIENCE_S + 20)
    assert lasting(again, PATIENCE_S + 30) == [], "the minute begins anew"
    assert "none declared" in overruns([], {"Guest": 64}, {}, 0.0)[0].issue().message


def test_memory_is_put_down_to_the_agent_whose_session_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children count with their agent; strangers and processes that are gone count for nobody."""
    sessions = {100: 100, 101: 100, 300: 300}

    def session_of(pid: int) -> int:
        if pid not in sessions:
            raise ProcessLookupError
        return sessions[pid]

    monkeypatch.setattr(overruns_module.os, "getsid", session_of)
    a = AgentPicture(name="A", machine="m", group="g", state="healthy", verdict="up", pid=100)
    b = AgentPicture(name="B", machine="m", group="g", state="stopped", verdict="off")
    held = {100: 7 * MIB, 101: 5 * MIB + 5, 300: 9 * MIB, 400: 9 * MIB}
    assert held_by([a, b], held) == {"A": 12}
