"""What every test may rely on, whatever the tests are started from."""

from __future__ import annotations

import os
import signal

from hypothesis import HealthCheck, settings

# Property tests prove facts, not speed: a busy computer must not fail them. Nor must luck: each run tries the same examples,
# until somebody looks for more with --hypothesis-profile=curious.
settings.register_profile("curious", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=False)
settings.register_profile("patient", settings.get_profile("curious"), derandomize=True)
settings.load_profile("patient")

SETTINGS = ("TANDEM_HOME", "TANDEM_FLEET", "PORT_OFFSET", "MAINPC_IP", "MAIN_PC_IP", "PC2_IP", "OPENAI_BASE_URL")


def pytest_configure() -> None:
    """A terminal of one width, as tables fold by it; Ctrl-C as a terminal has it, though a shell may have begun the tests
    in the background, where it is ignored; and nothing of the fleet somebody may have running."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["COLUMNS"] = "120"
    for name in SETTINGS:
        os.environ.pop(name, None)
