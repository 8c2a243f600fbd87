"""History of moods; grown out of a copy of the engine."""

import time

from common.core.base_agent import BaseAgent


class MoodTrackerAgent(BaseAgent):
    def __init__(self):
        super().__init__("MoodTrackerAgent", 5704)
        self.mood = "calm"
        self.history = []

    def handle_request(self, request):
        self.history.append((time.time(), request.get("mood", self.mood)))
        return self.summary(time.time())

    def summary(self, now):
        total = 0
        recent = []
        for at, mood in self.history:
            age = now - at
            if age > 3600:
                continue
            recent.append((age, mood))
            total += 1
        counts = {}
        for _, mood in recent:
            counts[mood] = counts.get(mood, 0) + 1
        ranked = sorted(counts.items(), key=lambda item: -item[1])
        return {"total": total, "ranked": ranked, "mood": ranked[0][0] if ranked else self.mood}


if __name__ == "__main__":
    MoodTrackerAgent().run()
