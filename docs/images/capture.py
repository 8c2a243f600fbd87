"""Draw what a command prints in a terminal as an SVG: ``python docs/images/capture.py up.svg -- tandem up``.

The command runs in a pseudo-terminal of fixed width, so it prints what a person would see, colours included.
"""

from __future__ import annotations

import io
import os
import pty
import re
import shlex
import struct
import sys
import termios
from fcntl import ioctl
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH, HEIGHT = 110, 60
CURSOR_CODES = re.compile(r"\x1b\[[0-9;?]*[A-HJKSTfhlsu]")
"""Control sequences that move the cursor or erase; what is drawn is the last state of each line."""


def run(argv: list[str]) -> str:
    """Everything ``argv`` prints to its terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(WIDTH), COLORTERM="truecolor")
        os.execvp(argv[0], argv)
    ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
    printed = b""
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:
            break
        if not part:
            break
        printed += part
    os.waitpid(pid, 0)
    return printed.decode(errors="replace").replace("\r\n", "\n")


def last_screen(printed: str) -> str:
    """The final state of a display that redraws itself by moving up: what follows the last such move per block."""
    lines: list[str] = []
    row = 0
    for line in printed.split("\n"):
        moves = re.findall(r"\x1b\[(\d*)A", line)
        row -= sum(int(count or 1) for count in moves)
        row = max(row, 0)
        text = CURSOR_CODES.sub("", line).split("\r")[-1]
        while len(lines) <= row:
            lines.append("")
        if text or not moves:
            lines[row] = text
        row += 1
    return "\n".join(lines).rstrip("\n")


def main() -> None:
    target, _, *argv = sys.argv[1:]
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.from_ansi(f"$ {shlex.join(argv)}\n" + last_screen(run(argv))))
    Path(target).write_text(console.export_svg(title=shlex.join(argv)))


if __name__ == "__main__":
    main()
