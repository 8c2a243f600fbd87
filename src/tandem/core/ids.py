"""Identifiers that sort by time, so logs, stores and listings agree on order."""

from __future__ import annotations

import os
import time

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id() -> str:
    """A 26-character lower-case ULID: 48 bits of milliseconds, 80 random bits (https://github.com/ulid/spec)."""
    value = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10), "big")
    return "".join(_ALPHABET[(value >> shift) & 31] for shift in range(125, -1, -5))


def is_id(text: bytes) -> bool:
    """Whether :func:`new_id` may have made it."""
    return len(text) == 26 and all(chr(byte) in _ALPHABET for byte in text)


class AgentId(str):
    """``Name@machine``: the identity of one supervised unit."""

    __slots__ = ()

    @classmethod
    def of(cls, name: str, machine: str) -> AgentId:
        return cls(f"{name}@{machine}")

    @property
    def name(self) -> str:
        return self.partition("@")[0]

    @property
    def machine(self) -> str:
        """The machine's name; empty for a bare agent name."""
        return self.partition("@")[2]
