"""GPU memory of this computer, as its driver tells it; nothing where there is no driver."""

from __future__ import annotations

import ctypes


class _Memory(ctypes.Structure):
    # nvmlMemory_t, https://docs.nvidia.com/deploy/nvml-api/structnvmlMemory__t.html
    _fields_ = (("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong))


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
        nvml = self._nvml
        count = ctypes.c_uint()
        if nvml is None or nvml.nvmlDeviceGetCount_v2(ctypes.byref(count)) != 0:
            return []
        found = []
        for number in range(count.value):
            device, memory, name = ctypes.c_void_p(), _Memory(), ctypes.create_string_buffer(96)
            if nvml.nvmlDeviceGetHandleByIndex_v2(number, ctypes.byref(device)) != 0:
                continue
            if nvml.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory)) != 0:
                continue
            nvml.nvmlDeviceGetName(device, name, len(name))
            found.append((name.value.decode("utf-8", "replace"), int(memory.used), int(memory.total)))
        return found
