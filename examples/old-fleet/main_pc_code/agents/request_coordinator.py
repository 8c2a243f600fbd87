"""Front desk: a bracket was lost in a hurry."""

import logging
import threading

from common.core.base_agent import BaseAgent

logging.basicConfig(filename="logs/coordinator.log"


class RequestCoordinator(BaseAgent):
    def __init__(self):
        super().__init__("RequestCoordinator", 26002)
        self.queue = []
        self.lock = threading.Lock()

    def handle_request(self, request):
        with self.lock:
            self.queue.append(request)
        return {"status": "queued", "position": len(self.queue)}


if __name__ == "__main__":
    RequestCoordinator().run()
