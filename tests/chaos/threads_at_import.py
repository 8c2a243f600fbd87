"""A module that starts a thread while it is imported, which no process may have that is forked from."""

from __future__ import annotations

import threading
import time

from tandem.agent import Agent

threading.Thread(target=time.sleep, args=(3600,), daemon=True).start()


class Threaded(Agent):
    """Serves all the same, in a process of its own."""
