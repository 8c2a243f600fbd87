"""Making a process by fork and exec, with descriptors at agreed numbers."""

from __future__ import annotations

import fcntl
import os
import resource
import signal

from tandem.supervise.descriptors import arrange, limit_open_files
from tandem.supervise.wire import GATE_FD, SPEC_FD, Exec

_REPORT_FD = 8
"""Where a child reports that it could not exec; closes by itself when it could."""

_OPEN_FILES = resource.getrlimit(resource.RLIMIT_NOFILE)
"""What the keeper was born with, and what programs get: some still use select(2), which ends at 1,024."""


def allow_all_open_files() -> None:
    """Let this process have as many descriptors as it may: it holds three for each agent."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (_OPEN_FILES[1], _OPEN_FILES[1]))


class ExecChild:
    """A child that waits at its gate (a pipe among ``sources``) and then becomes ``launch``, in a session of its own."""

    def __init__(self, launch: Exec, sources: list[int], targets: list[int], open_files: int | None = None):
        read_end, write_end = os.pipe2(os.O_CLOEXEC)
        spec = _memory_file(launch.payload) if launch.payload else None
        self._report = read_end
        self.pid = os.fork()
        if self.pid == 0:
            try:
                _become(launch, [*sources, *([spec] if spec is not None else [])], targets, write_end, open_files)
            except BaseException as error:  # nothing may return into the keeper's loop
                _report(error)
            os._exit(127)
        os.close(write_end)
        if spec is not None:
            os.close(spec)

    def confirm(self) -> None:
        """Wait, once the gate is open, until the program runs. Raises ``OSError`` with the reason when it cannot."""
        with os.fdopen(self._report, "rb") as report:
            failure = report.read()
        if failure:
            os.waitpid(self.pid, 0)
            raise OSError(failure.decode("utf-8", "replace"))


def _memory_file(payload: bytes) -> int:
    fd = os.memfd_create("spec", os.MFD_CLOEXEC)
    view = memoryview(payload)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


def _become(
    launch: Exec, sources: list[int], targets: list[int], report: int, open_files: int | None
) -> None:
    os.setsid()
    numbers = [*targets, *([SPEC_FD] if len(sources) > len(targets) else [])]
    arrange([*sources, report], [*numbers, _REPORT_FD])
    fcntl.fcntl(_REPORT_FD, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
    if not os.read(GATE_FD, 1):
        os._exit(0)
    os.close(GATE_FD)
    # Python ignores these, and ignored signals survive exec: other programs expect the defaults.
    for number in (signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    resource.setrlimit(resource.RLIMIT_NOFILE, _OPEN_FILES)
    limit_open_files(open_files)
    os.chdir(launch.cwd)
    os.execvpe(launch.argv[0], launch.argv, launch.env)


def _report(error: BaseException) -> None:
    try:
        os.write(_REPORT_FD, str(error).encode())
    except OSError:
        os._exit(126)
