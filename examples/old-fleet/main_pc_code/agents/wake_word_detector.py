"""Hears the wake word: a script pasted a docstring among the bases."""

import json

import zmq

from common.core.base_agent import BaseAgent


class WakeWordDetector(
    """Hears the wake word. Now tells errors to the error bus."""
    BaseAgent):
    def __init__(self):
        super().__init__("WakeWordDetector", 6577)
        self.context = zmq.Context()
        self.audio = self.context.socket(zmq.SUB)
        self.audio.connect("tcp://localhost:6575")
        self.audio.setsockopt_string(zmq.SUBSCRIBE, "")

    def listen(self):
        while self.running:
            self.judge(json.loads(self.audio.recv()))

    def judge(self, frame):
        return frame.get("energy", 0) > 300
