"""Translates: threads and loops in one pot."""

import asyncio
import threading
import time

import requests

from common.core.base_agent import BaseAgent


class TranslationService(BaseAgent):
    def __init__(self):
        super().__init__("TranslationService", 5595)
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self._serve_loop, daemon=True).start()
        asyncio.create_task(self.warm_up())

    def _serve_loop(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_forever()

    async def warm_up(self):
        time.sleep(2)
        return requests.get("http://10.0.0.12:5000/models").json()

    def handle_request(self, request):
        return asyncio.run_coroutine_threadsafe(self.warm_up(), self.loop).result()


if __name__ == "__main__":
    TranslationService().run()
