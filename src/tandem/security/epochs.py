"""Following what the CA has signed on this computer, above all what it revoked: public files that every process may read."""

from __future__ import annotations

from pathlib import Path


class EpochFile:
    """Tells when the file changed. Whoever reads it checks the signature; see :meth:`Verifier.learn`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int] | None = None

    def news(self) -> str:
        """The CA's announcement when the file is new since the last look, else empty. One stat(2) when it is not."""
        try:
            info = self._path.stat()
        except FileNotFoundError:
            return ""
        seen = (info.st_ino, info.st_mtime_ns)
        if seen == self._seen:
            return ""
        # Read after the look: a file replaced in between is read twice, never missed.
        announcement = self._path.read_bytes().decode(errors="replace")
        self._seen = seen
        return announcement


def concerns(revoked: str, name: str, *, agent: bool) -> bool:
    """Whether a principal called ``name`` loses its identity when ``revoked`` does.

    Which machine vouched for a person is not in the person's name, so all of them show their tokens anew when a
    machine is revoked.
    """
    if "@" in revoked or revoked == "operator":
        return name == revoked
    return not agent or name.partition("@")[2] == revoked
