"""Where every command begins. It imports next to nothing, so that Ctrl-C is in our hands from the first moment on."""

import os
import sys
from types import FrameType

EXIT_INTERRUPTED = 130
"""128 + SIGINT, as shells have it."""


def main(argv: list[str] | None = None) -> None:
    """Run one command and exit with its status, see :func:`tandem.cli.command.execute`."""
    try:
        import gc
        import signal

        heeded = signal.getsignal(signal.SIGINT) is not signal.SIG_IGN
        if heeded:
            signal.signal(signal.SIGINT, _leave)
        from tandem.cli.command import execute
    except KeyboardInterrupt:
        _leave()
    status = execute(sys.argv[1:] if argv is None else argv)
    if heeded:
        # All is done and said; an interpreter that is interrupted while it ends would print a traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    # An interpreter that ends looks at every object there is, up to a fifth of a command's time, to find what ends anyway.
    gc.freeze()
    sys.exit(status)


def _leave(signal_number: int = 0, frame: FrameType | None = None) -> None:
    """End at once: while modules are imported nothing has been begun, and an exception could surface anywhere in them."""
    say_interrupted()
    os._exit(EXIT_INTERRUPTED)


def say_interrupted() -> None:
    """One line; on a terminal it does not stand behind the ``^C`` typed."""
    os.write(2, b"\nInterrupted.\n" if os.isatty(2) else b"Interrupted.\n")


if __name__ == "__main__":
    main()
