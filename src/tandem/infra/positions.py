"""How far each consumer has come in a stream, when nats-server cannot read it any more.

Whatever else is damaged of its files, the server leaves out and goes on. Over a damaged position (``o.dat``) it refuses
the consumer, which nobody could make under that name until somebody takes the file away.
"""

from __future__ import annotations

import logging
import re
from pathlib import Path

from tandem.core.damage import set_aside
from tandem.infra.log_tail import LogTail

log = logging.getLogger("tandem.node")

_UNREADABLE = re.compile(
    rb"\[WRN\] +(?:Error adding consumer|Consumer create failed for) '(\w+) > (\w+) > ([\w-]+)':"
    rb" error creating store for consumer: corrupt state file"
)
"""What a nats-server of 2.10 to 2.15 notes whenever a consumer is wanted whose position has another form than it writes; a
file it may not read, or a disk that fails, it words otherwise."""


class Positions:
    """Looks into the ``nats_log`` of the server whose streams are below ``store``."""

    def __init__(self, store: Path, nats_log: Path) -> None:
        self._store = store
        self._log = LogTail(nats_log)
        self._done: set[Path] = set()

    def mend(self) -> list[Path]:
        """Put aside what the server has said since the last look it cannot read, once each; returns where it is now."""
        named = {self._file(*map(bytes.decode, found)) for found in _UNREADABLE.findall(self._log.fresh())}
        # What was noted just before a file was put aside may be read afterwards: it says nothing of the new one.
        due, self._done = sorted(named - self._done), set()
        return [aside for file in due if (aside := self._put_aside(file)) is not None]

    def _file(self, account: str, stream: str, consumer: str) -> Path:
        return self._store / "jetstream" / account / "streams" / stream / "obs" / consumer / "o.dat"

    def _put_aside(self, file: Path) -> Path | None:
        consumer, stream = file.parent.name, file.parents[2].name
        try:
            aside = set_aside(file)
        except FileNotFoundError:
            return None
        except OSError as error:
            log.error("%s is damaged and cannot be put aside: %s", file, error)
            return None
        self._done.add(file)
        log.error(
            "nats-server cannot read how far %s has come in %s: that is put aside as %s. No event is lost, but what it had"
            " not handled before its agent was started is not delivered to it, or what it had handled once more",
            consumer, stream, aside,
        )  # fmt: skip
        return aside
