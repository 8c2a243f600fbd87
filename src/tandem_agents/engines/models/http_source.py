"""Model files from publishers' addresses."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from tandem.core.errors import Unavailable
from tandem_agents.engines.models.catalogue import ModelFile
from tandem_agents.engines.optional import LazyModule

if TYPE_CHECKING:
    import httpx
else:
    httpx = LazyModule("httpx", extra="llm")

CONNECT_TIMEOUT_S = 3.0
READ_TIMEOUT_S = 30.0
MAX_CONNECTIONS = 20
"""Per file. A transfer that broke off is resumed as long as each connection brought some bytes."""

Advance = Callable[[int], None]
"""Told how many of the file's bytes are here by now."""


class SourceFailed(Unavailable):
    """This source did not deliver; another one may."""


class HostDown(SourceFailed):
    """The source's host could not be reached a moment ago, so it was not asked."""


class HttpSource:
    """Downloads by HTTP, resumed with Range. A host that cannot be reached is not tried again by this object."""

    def __init__(self) -> None:
        self._down: set[str] = set()

    def download(self, url: str, file: ModelFile, partial: Path, advance: Advance) -> None:
        """Append to ``partial`` what it lacks; what has arrived stays. Raises :class:`SourceFailed`."""
        timeout = httpx.Timeout(READ_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        # Compressed transfer would make byte ranges mean something else.
        headers = {"Accept-Encoding": "identity"}
        with httpx.Client(timeout=timeout, headers=headers, follow_redirects=True) as client:
            for _ in range(MAX_CONNECTIONS):
                before = size_of(partial)
                broken = self._transfer(client, url, file, partial, advance)
                if size_of(partial) == file.bytes:
                    return
                if size_of(partial) <= before:
                    raise SourceFailed(f"{url}: {broken or 'the file is shorter than announced'}")
        raise SourceFailed(f"{url}: the transfer keeps breaking off")

    def _transfer(
        self, client: httpx.Client, url: str, file: ModelFile, partial: Path, advance: Advance
    ) -> str:
        """One connection's worth; returns why it ended early, if it did."""
        host = httpx.URL(url).host
        if host in self._down:
            raise HostDown(f"{url}: {host} could not be reached before")
        have = size_of(partial)
        try:
            with client.stream("GET", url, headers={"Range": f"bytes={have}-"} if have else {}) as response:
                _append(response, url, have, file, partial, advance)
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            self._down.add(error.request.url.host)
            raise SourceFailed(
                f"{error.request.url.host} cannot be reached: {str(error) or 'no answer'}"
            ) from error
        except httpx.TransportError as error:
            return str(error) or type(error).__name__
        except httpx.TooManyRedirects as error:
            raise SourceFailed(f"{url}: {error}") from error
        return ""


def _append(
    response: httpx.Response, url: str, have: int, file: ModelFile, partial: Path, advance: Advance
) -> None:
    if response.status_code not in (200, 206):
        raise SourceFailed(f"{url}: HTTP {response.status_code}")
    if response.status_code == 206 and _range_start(response) != have:
        raise SourceFailed(f"{url}: the server sent another range than the one asked for")
    # A server that does not know ranges sends the whole file again.
    here = have if response.status_code == 206 else 0
    announced = response.headers.get("Content-Length")
    if announced is not None and here + int(announced) != file.bytes:
        raise SourceFailed(f"{url}: has {here + int(announced)} bytes instead of {file.bytes}")
    with partial.open("ab" if here else "wb") as out:
        for block in response.iter_raw():
            here += len(block)
            if here > file.bytes:
                raise SourceFailed(f"{url}: has more than {file.bytes} bytes")
            out.write(block)
            advance(here)


def _range_start(response: httpx.Response) -> int:
    match = re.match(r"bytes (\d+)-", response.headers.get("Content-Range", ""))
    return int(match[1]) if match else -1


def size_of(path: Path) -> int:
    """Bytes in ``path``; 0 when there is none."""
    return path.stat().st_size if path.exists() else 0
