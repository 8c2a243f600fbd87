"""Dreams when nobody asks."""

import time

from common.core.base_agent import BaseAgent


class DreamingModeAgent(BaseAgent):
    def __init__(self):
        super().__init__("DreamingModeAgent", 7127)

    def handle_request(self, request):
        if request["action"] == "dream":
        self.dream()
        return {"status": "success"}

    def dream(self):
        time.sleep(1)


if __name__ == "__main__":
    DreamingModeAgent().run()
