"""Where machines are, once computers have joined: what a computer is then counts more than what it is called by.

One small public file per home, written when a computer joins: machine name to address, and whether it is this one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import msgspec
from msgspec import Struct

from tandem.core.errors import ConfigError
from tandem.core.files import write_atomic
from tandem.core.paths import Home, private_dir

FILE = "places.json"


class Whereabouts(Struct, frozen=True):
    """``host`` is the address others reach the machine by; what the fleet file says goes before it."""

    where: Literal["here", "elsewhere"]
    host: str


Places = Mapping[str, Whereabouts]


def known_places(home: Home | None = None) -> dict[str, Whereabouts]:
    """The machines whose place was settled by joining; none on a computer that nobody joined.

    Raises :class:`ConfigError` when the file is damaged.
    """
    path = (home or Home.from_environment()).root / FILE
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Whereabouts])
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}", hint="join again, or restore it from a backup") from error


def write_places(home: Home, places: Places) -> None:
    """Replace what is known; whole or not at all."""
    private_dir(home.root)
    write_atomic(home.root / FILE, msgspec.json.format(msgspec.json.encode(dict(places))))
