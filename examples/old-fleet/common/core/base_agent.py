"""What all agents were meant to stand on."""

import platform
import threading
import time

import zmq

from common.pools.zmq_pool import get_rep_socket


class BaseAgent:
    """Name, port, request loop and health of an agent."""

    def __init__(self, name, port):
        self.name = name
        self.port = port
        self.running = True
        self.started = time.time()
        self.socket = get_rep_socket(f"tcp://*:{port}").socket

    def health_check(self):
        return {
            "status": "healthy",
            "service": self.name,
            "machine": platform.node(),
            "timestamp": time.time(),
            "issues": [],
        }

    def handle_request(self, request):
        raise NotImplementedError

    def run(self):
        threading.Thread(target=self.watch, daemon=True).start()
        while self.running:
            try:
                request = self.socket.recv_json()
            except zmq.Again:
                continue
            if request.get("action") == "health_check":
                self.socket.send_json(self.health_check())
            else:
                self.socket.send_json(self.handle_request(request))

    def watch(self):
        while self.running:
            time.sleep(60)
