"""A module that never comes to its end."""

from __future__ import annotations

import time

from tandem.agent import Agent

time.sleep(600)


class Sleeper(Agent):
    """Would serve, could it be imported."""
