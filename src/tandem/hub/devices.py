"""GPU memory of this computer, as its driver tells it; nothing where there is no driver."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator


class _Memory(ctypes.Structure):
    # nvmlMemory_t, https://docs.nvidia.com/deploy/nvml-api/structnvmlMemory__t.html
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


class _Holder(ctypes.Structure):
    # nvmlProcessInfo_v2_t, which nvmlDeviceGetComputeRunningProcesses_v3 fills
    # https://docs.nvidia.com/deploy/nvml-api/structnvmlProcessInfo__v2__t.html
    _fields_ = (
        ("pid", ctypes.c_uint),
        ("used", ctypes.c_ulonglong),
        ("gpu_instance", ctypes.c_uint),
        ("compute_instance", ctypes.c_uint),
    )


_MOST_HOLDERS = 256
_NOT_AVAILABLE = 2**64 - 1
"""NVML_VALUE_NOT_AVAILABLE: the driver does not tell, as on Windows and in some containers."""


class Devices:
    """Reads NVML, which comes with the driver."""

    def __init__(self) -> None:
        try:
            self._nvml: ctypes.CDLL | None = ctypes.CDLL("libnvidia-ml.so.1")
        except OSError:
            self._nvml = None
        if self._nvml is not None and self._nvml.nvmlInit_v2() != 0:
            self._nvml = None

    def read(self) -> list[tuple[str, int, int]]:
        """Name, bytes used and bytes there are of each device."""
        found = []
        for nvml, device in self._cards():
            memory, name = _Memory(), ctypes.create_string_buffer(96)
            if nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) != 0:
                continue
            nvml.nvmlDeviceGetName(device, name, len(name))
            found.append((name.value.decode("utf-8", "replace"), int(memory.used), int(memory.total)))
        return found

    def held(self) -> dict[int, int]:
        """Bytes each process (by pid) has on all devices together; processes of which the driver does not tell are left out."""
        found: dict[int, int] = {}
        for nvml, device in self._cards():
            try:
                ask = nvml.nvmlDeviceGetComputeRunningProcesses_v3
            except AttributeError:
                return {}  # a driver from before 2022
            count, holders = ctypes.c_uint(_MOST_HOLDERS), (_Holder * _MOST_HOLDERS)()
            if ask(device, ctypes.byref(count), holders) != 0:
                continue
            for holder in holders[: count.value]:
                if holder.used != _NOT_AVAILABLE:
                    found[holder.pid] = found.get(holder.pid, 0) + holder.used
        return found

    def _cards(self) -> Iterator[tuple[ctypes.CDLL, ctypes.c_void_p]]:
        nvml, count = self._nvml, ctypes.c_uint()
        if nvml is None or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return
        for number in range(count.value):
            device = ctypes.c_void_p()
            if nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(device)) == 0:
                yield nvml, device
