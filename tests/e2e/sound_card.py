"""A sound server with a loudspeaker and a room, which programs find as they find any computer's sound card.

PulseAudio plays in real time into sinks nobody hears. What is played in the room is what the microphone hears, and what
the loudspeaker plays can be recorded. Programs reach both by PortAudio and ALSA, as they do on a desktop.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from household import eventually

PROGRAMS = ("pulseaudio", "pactl", "parec", "paplay")
ALSA_PLUGIN = "alsa-lib/libasound_module_pcm_pulse.so"
RATE = 16_000
"""Hz of recordings."""

_SETUP = """
load-module module-native-protocol-unix socket={socket} auth-anonymous=1
load-module module-null-sink sink_name=loudspeaker
load-module module-null-sink sink_name=room
load-module module-remap-source master=room.monitor source_name=microphone
set-default-sink loudspeaker
set-default-source microphone
"""
_ALSA = """
</usr/share/alsa/alsa.conf>
pcm.!default { type pulse }
ctl.!default { type pulse }
"""


def missing() -> str:
    """What this needs and the computer lacks, in words; empty when all is there."""
    lacking = [program for program in PROGRAMS if shutil.which(program) is None]
    if not any(Path("/usr/lib").glob(f"*/{ALSA_PLUGIN}")) and not any(Path("/usr/lib").glob(ALSA_PLUGIN)):
        lacking.append("ALSA's plugin for PulseAudio")
    if not any(Path("/usr/lib").rglob("libportaudio.so.2")):
        lacking.append("PortAudio")
    if not lacking:
        return ""
    return f"no {', '.join(lacking)}: sudo apt install libportaudio2 libasound2-plugins pulseaudio pulseaudio-utils"


class SoundCard:
    """A running sound server. ``environment`` leads programs to it."""

    def __init__(self, directory: Path):
        self._directory = directory
        socket = directory / "socket"
        setup, alsa = directory / "setup.pa", directory / "asound.conf"
        setup.write_text(_SETUP.format(socket=socket))
        alsa.write_text(_ALSA)
        self.environment = {"PULSE_SERVER": f"unix:{socket}", "ALSA_CONFIG_PATH": str(alsa)}
        own = {"HOME": str(directory), "XDG_RUNTIME_DIR": str(directory), "PATH": "/usr/bin:/bin"}
        self._server = subprocess.Popen(
            ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--disable-shm", "-F", str(setup)],
            env=own,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._client = own | self.environment

    @classmethod
    @contextlib.contextmanager
    def running(cls, directory: Path) -> Iterator[SoundCard]:
        card = cls(directory)
        try:
            eventually(card._answers, "the sound server")
            yield card
        finally:
            card._server.terminate()
            card._server.wait()

    def _answers(self) -> bool:
        assert self._server.poll() is None, "the sound server has ended"
        return subprocess.run(["pactl", "info"], env=self._client, capture_output=True).returncode == 0

    def say(self, recording: Path) -> None:
        """Play a recording in the room; returns when it was heard."""
        subprocess.run(["paplay", "--device=room", str(recording)], env=self._client, check=True, timeout=120)

    @contextlib.contextmanager
    def recording(self, name: str) -> Iterator[Path]:
        """What the loudspeaker plays within the block, as raw mono 16-bit sound at :data:`RATE`."""
        path = self._directory / f"{name}.raw"
        with path.open("wb") as file:
            recorder = subprocess.Popen(
                ["parec", "--device=loudspeaker.monitor", "--format=s16le", f"--rate={RATE}", "--channels=1"],
                env=self._client,
                stdout=file,
            )
            try:
                yield path
            finally:
                recorder.terminate()
                recorder.wait()


@pytest.fixture(scope="module")
def sound_card(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SoundCard]:
    """A sound card; skips where there can be none."""
    lacking = missing()
    if lacking:
        pytest.skip(lacking)
    with SoundCard.running(tmp_path_factory.mktemp("sound")) as card:
        yield card
