"""Live model of both computers."""

import os
import sys
import threading
import time

sys.path.append(os.getcwd())

import psutil
import zmq

from common.core.base_agent import BaseAgent
from common.memory_store import MemoryStore

REGISTRY = "tcp://192.168.100.16:7200"
PROMETHEUS = os.environ.get("PROMETHEUS_URL", "http://192.168.100.16:9090")


class SystemDigitalTwin(BaseAgent):
    def __init__(self):
        super().__init__(name="SystemDigitalTwin", port=7220)
        self.store = MemoryStore()
        self.context = zmq.Context()
        self.registry = self.context.socket(zmq.REQ)
        self.registry.connect(REGISTRY)
        self.health_socket = self.context.socket(zmq.PUB)
        self.health_socket.bind("tcp://*:8220")
        threading.Thread(target=self._health_broadcast_loop, daemon=True).start()

    def look_up(self, name):
        self.registry.send_json({"action": "get_agent_endpoint", "name": name})
        return self.registry.recv_json()

    def handle_request(self, request):
        if request.get("action") == "ping":
            return {"status": "alive"}
        return {"cpu": psutil.cpu_percent(), "memory": psutil.virtual_memory().percent}

    def _health_broadcast_loop(self):
        while self.running:
            self.health_socket.send_json({"status": "running", "component": "twin", "at": time.time()})
            time.sleep(5)


if __name__ == "__main__":
    SystemDigitalTwin().run()
