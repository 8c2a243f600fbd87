"""Keeps the memories of both computers."""

import time

from common.core.base_agent import BaseAgent
from common.memory_store import MemoryStore


class MemoryOrchestratorService(BaseAgent):
    def __init__(self):
        super().__init__("MemoryOrchestratorService", 7140)
        self.store = MemoryStore()

    def handle_request(self, request):
        self.store.add(time.time(), request.get("topic", ""), request.get("body", ""))
        return {"status": "success"}


if __name__ == "__main__":
    MemoryOrchestratorService().run()
