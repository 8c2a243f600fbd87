"""Small talk with a model on the other computer."""

import json
import logging
import time

import zmq

from common.core.base_agent import BaseAgent
from common.error_bus import report_error

PC2_HOST = "192.168.100.17"
OPENAI_API_KEY = "sk-Zk4Lq9Xw2Nv7Bm5Ct8Ry1Pd6Fh3JsGaEu0Ti"

handler = logging.FileHandler("logs/agents.log")
logging.getLogger().addHandler(handler)


class ChitchatAgent(BaseAgent):
    def __init__(self):
        super().__init__("ChitchatAgent", 5711)
        self.context = zmq.Context()
        self.llm_socket = self.context.socket(zmq.REQ)
        self.llm_socket.connect(f"tcp://{PC2_HOST}:5557")
        self.error_bus_pub = self.context.socket(zmq.PUB)
        self.error_bus_pub.connect(f"tcp://{PC2_HOST}:7150")

    def handle_request(self, request):
        self.llm_socket.send_json({"action": "chat", "text": request["text"]})
        try:
            return self.llm_socket.recv_json()
        except zmq.ZMQError as error:
            self.tell_failure("llm_unreachable", str(error))
            return {"status": "error"}

    def tell_failure(self, error_type, message):
        report_error(error_type, message)
        error_data = {"error_type": error_type, "message": message, "at": time.time()}
        self.error_bus_pub.send_string(f"ERROR:{json.dumps(error_data)}")

    def _get_health_status(self):
        return {"status": "ok", "ready": True, "llm_connected": hasattr(self, "llm_socket")}


if __name__ == "__main__":
    ChitchatAgent().run()
