"""Other process managers, each told to run the same plain programs: `python minimal_agent.py NAME SOCKET`."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import psutil

from _rows import FROM_EXTRA, not_measured, say

PM2_PACKAGE = "pm2@7.0.4"
AGENT = Path(__file__).with_name("minimal_agent.py")


class Manager:
    """One way to start programs. ``folder`` holds its configuration and the sockets of what it starts."""

    name = ""

    def __init__(self, folder: Path, agents: Sequence[str]):
        self.folder = folder
        self.agents = agents
        self.environment = dict(os.environ)
        self._process: subprocess.Popen[bytes] | None = None

    @classmethod
    def executable(cls) -> str | None:
        """Where it is installed; None where it is not."""
        beside = Path(sys.executable).with_name(cls.name)
        return str(beside) if beside.exists() else shutil.which(cls.name)

    def socket(self, agent: str) -> Path:
        return self.folder / f"{agent}.sock"

    def command(self, agent: str) -> list[str]:
        return [sys.executable, str(AGENT), agent, str(self.socket(agent))]

    def configure(self) -> list[str]:
        """Write what it reads; the command that starts it."""
        raise NotImplementedError

    def start(self) -> None:
        """Return at once; the agents follow."""
        command = self.configure()
        with open(self.folder / "output", "wb") as output:
            self._process = subprocess.Popen(
                command, cwd=self.folder, env=self.environment, stdout=output, stderr=output, start_new_session=True
            )

    def processes(self) -> list[psutil.Process]:
        """The manager and everything it has started."""
        assert self._process is not None
        manager = psutil.Process(self._process.pid)
        return [manager, *manager.children(recursive=True)]

    def stop(self) -> None:
        """End the manager and whatever it leaves."""
        if self._process is None:
            return
        family = self.processes() if self._process.poll() is None else []
        self._process.send_signal(signal.SIGTERM)
        _gone, left = psutil.wait_procs(family, timeout=15)
        for process in left:
            process.kill()
        self._process.wait()


class Supervisord(Manager):
    name = "supervisord"

    def configure(self) -> list[str]:
        lines = ["[supervisord]", "nodaemon=true", f"pidfile={self.folder}/pid", f"logfile={self.folder}/log"]
        for agent in self.agents:
            lines += [f"[program:{agent}]", "command=" + " ".join(self.command(agent))]
        path = self.folder / "supervisord.conf"
        path.write_text("\n".join(lines) + "\n")
        return [str(self.executable()), "-n", "-c", str(path)]


class Circus(Manager):
    name = "circusd"

    def configure(self) -> list[str]:
        lines = [
            "[circus]", f"endpoint=ipc://{self.folder}/endpoint", f"pubsub_endpoint=ipc://{self.folder}/pubsub",
            "warmup_delay=0",
        ]  # fmt: skip
        for agent in self.agents:
            program, *arguments = self.command(agent)
            lines += [f"[watcher:{agent}]", f"cmd={program}", f"args={' '.join(arguments)}", "copy_env=True"]
        path = self.folder / "circus.ini"
        path.write_text("\n".join(lines) + "\n")
        return [str(self.executable()), str(path)]


class Honcho(Manager):
    name = "honcho"

    def configure(self) -> list[str]:
        lines = [f"{agent}: exec {' '.join(self.command(agent))}" for agent in self.agents]
        (self.folder / "Procfile").write_text("\n".join(lines) + "\n")
        return [str(self.executable()), "start"]


class Pm2(Manager):
    """Its daemon detaches itself, so it is found by the file it writes its pid to."""

    name = "pm2"

    @classmethod
    def executable(cls) -> str | None:
        """``$PM2``, the one on the path, or one that npm installs beside this fleet's other caches, once."""
        found = os.environ.get("PM2") or shutil.which("pm2")
        return found or cls._installed_by_npm()

    @staticmethod
    def _installed_by_npm() -> str | None:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser()
        folder = caches / "tandem" / "bench" / PM2_PACKAGE
        program = folder / "node_modules" / ".bin" / "pm2"
        npm = shutil.which("npm")
        if npm is not None and not program.exists():
            folder.mkdir(parents=True, exist_ok=True)
            say(f"installing {PM2_PACKAGE} with npm ...")
            subprocess.run(
                [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", "--silent", PM2_PACKAGE],
                stdout=subprocess.DEVNULL, check=False, timeout=300,
            )  # fmt: skip
        return str(program) if program.exists() else None

    def configure(self) -> list[str]:
        self.environment["PM2_HOME"] = str(self.folder / "pm2")
        apps = [
            {"name": agent, "script": str(AGENT), "interpreter": sys.executable, "args": self.command(agent)[2:]}
            for agent in self.agents
        ]
        path = self.folder / "ecosystem.config.json"
        path.write_text(json.dumps({"apps": apps}))
        return [str(self.executable()), "start", str(path)]

    def processes(self) -> list[psutil.Process]:
        daemon = psutil.Process(int((self.folder / "pm2" / "pm2.pid").read_text()))
        return [daemon, *daemon.children(recursive=True)]

    def stop(self) -> None:
        subprocess.run(
            [str(self.executable()), "kill"], env=self.environment, capture_output=True, check=False, timeout=60
        )


MANAGERS: dict[str, type[Manager]] = {"supervisord": Supervisord, "circus": Circus, "honcho": Honcho, "pm2": Pm2}
HOW_TO_GET = {"pm2": "install npm, or set PM2 to its path"}


def installed(*names: str) -> dict[str, type[Manager]]:
    """Those of ``names`` that can be measured here; what is missing is said loudly, with the way to get it."""
    found = {}
    for name in names:
        if MANAGERS[name].executable() is None:
            not_measured(name, HOW_TO_GET.get(name, FROM_EXTRA))
        else:
            found[name] = MANAGERS[name]
    return found


def wait_until_idle(seconds: float = 1.0) -> None:
    """Let what the previous measurement left behind settle."""
    time.sleep(seconds)
