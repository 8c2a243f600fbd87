"""Draw what a command shows in a terminal as an SVG: ``python docs/images/capture.py up.svg tandem up``.

The command runs in a pseudo-terminal of fixed width behind a terminal emulator (pyte), so the picture is what a person
sees when it has finished, colours included. Needs ``pip install pyte``.
"""

from __future__ import annotations

import io
import os
import pty
import shlex
import struct
import sys
import termios
from fcntl import ioctl
from pathlib import Path

import pyte
from rich.console import Console
from rich.style import Style
from rich.text import Text

WIDTH, HEIGHT = 110, 60


def show(argv: list[str]) -> pyte.Screen:
    """The terminal's screen after ``argv`` has ended."""
    screen = pyte.Screen(WIDTH, HEIGHT)
    stream = pyte.ByteStream(screen)
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(WIDTH), LINES=str(HEIGHT))
        os.execvp(argv[0], argv)
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    while part := _read(terminal):
        stream.feed(part)
    os.waitpid(pid, 0)
    return screen


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:
        # Linux reports the end of a pseudo-terminal as EIO.
        return b""


def drawn(screen: pyte.Screen) -> Text:
    """The screen's lines with their colours, without the empty ones at the end."""
    lines = []
    for row in range(screen.lines):
        line = Text()
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            line.append(cell.data, Style(color=_colour(cell.fg), bold=cell.bold))
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return Text("\n").join(lines)


def _colour(name: str) -> str | None:
    """pyte's name of a colour as rich's."""
    if name == "default":
        return None
    if len(name) == 6 and all(letter in "0123456789abcdef" for letter in name):
        return f"#{name}"
    return {"brown": "yellow"}.get(name, name.replace("bright", "bright_") if name.startswith("bright") else name)


def main() -> None:
    target, *argv = sys.argv[1:]
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text(f"$ {shlex.join(argv)}", style="bold"), drawn(screen=show(argv)), sep="\n", no_wrap=True)
    Path(target).write_text(console.export_svg(title=shlex.join(argv)))


if __name__ == "__main__":
    main()
