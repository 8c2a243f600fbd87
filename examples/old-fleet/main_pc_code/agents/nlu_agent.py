"""Finds out what was meant."""

import json
import os
import time

import zmq
from common.core.base_agent import BaseAgent
from main_pc_code.utils.config_loader import load_config

config = load_config()
HISTORY = os.path.join(get_project_root(), "data", "nlu_history.json")


class NLUAgent(BaseAgent):
    def __init__(self):
        super().__init__(name=config.get("name", "NLUAgent"), port=int(config.get("port", 5709)))
        self.context = zmq.Context()
        self.error_bus_pub = self.context.socket(zmq.PUB)
        self.error_bus_pub.connect("tcp://192.168.100.17:7150")

    def handle_request(self, request):
        try:
            return self.analyse(request["text"])
        except Exception as error:
            self.publish_failure("analysis_failed", str(error))
            return {"status": "error", "message": str(error)}

    def analyse(self, text):
        intent = "question" if text.endswith("?") else "statement"
        return {"status": "success", "intent": intent, "at": time.time()}

    def publish_failure(self, error_type, message):
        error_data = {"error_type": error_type, "message": message, "severity": "ERROR", "agent": self.name}
        self.error_bus_pub.send_string(f"ERROR:{json.dumps(error_data)}")


if __name__ == "__main__":
    NLUAgent().run()
