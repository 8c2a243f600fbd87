"""What a process is made of: an immutable release of code, and the fleet file that goes with it."""

from __future__ import annotations

from msgspec import Struct

from tandem.fleet.model import Fleet

DEV = "dev"
"""The working tree itself: what ``tandem up`` runs."""

ZYGOTE = "zygote"


class Code(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Where modules come from. Without ``id`` they are those of the running interpreter and beside the fleet file."""

    id: str = ""
    python: str = ""
    """The interpreter, by the path it is called by; empty: ours."""
    paths: tuple[str, ...] = ()
    """Folders that go in front of everything else agents import from."""
    forked_from: str = ""
    """A zygote that holds this very code already; empty: one of its own."""

    @property
    def zygote(self) -> str:
        """Name of the process its agents are forked from."""
        return self.forked_from or (f"{ZYGOTE}-{self.id[:12]}" if self.id else ZYGOTE)


WORKING_TREE = Code()


class Release(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """``name`` is a hash of code, interpreter and fleet file, or :data:`DEV`."""

    name: str = DEV
    code: Code = WORKING_TREE


class Target(Struct, frozen=True, kw_only=True):
    """A release with its fleet as read, which is what a machine can be brought to."""

    release: Release
    fleet: Fleet
