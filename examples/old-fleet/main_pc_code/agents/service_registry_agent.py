"""Phone book of the fleet: written before the base existed."""

import json
import logging
import os
import sys

sys.path.insert(0, os.path.abspath(os.path.join(os.path.dirname(__file__), "..", "..")))

import zmq

logging.basicConfig(
    level=logging.INFO,
    format="%(asctime)s %(message)s",
    handlers=[logging.FileHandler("logs/service_registry.log"), logging.StreamHandler()],
)
log = logging.getLogger(__name__)


class ServiceRegistryAgent:
    def __init__(self, port=7100):
        self.port = port
        self.table = {}
        self.context = zmq.Context()
        self.socket = self.context.socket(zmq.REP)
        self.socket.bind(f"tcp://*:{port}")
        self.running = True

    def handle_request(self, request):
        action = request.get("action")
        if action == "health_check":
            return {"status": "ok", "agents": len(self.table)}
        if action == "register_agent":
            self.table[request["name"]] = request
            return {"status": "success"}
        return self.table.get(request.get("name"), {"status": "not_found"})

    def run(self):
        while self.running:
            request = self.socket.recv_json()
            log.info("request %s", json.dumps(request))
            self.socket.send_json(self.handle_request(request))


if __name__ == "__main__":
    ServiceRegistryAgent().run()
