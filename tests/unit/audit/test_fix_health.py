"""Mends of answers to health checks."""

from __future__ import annotations

from pathlib import Path

import pytest
from mends import after, left, mend, proposed, put, run


def test_health_answer_gets_the_one_form(tmp_path: Path) -> None:
    """The old word becomes ours, what was missing is added, and other keys stay."""
    put(
        tmp_path,
        a="""
        class Echo:
            def handle(self, request):
                if request.get("action") == "health_check":
                    return {"status": "ok", "queue": 3}  # alive
                return {"status": "ok", "echo": request}
        """,
    )
    found = mend(tmp_path, "health-dialect")
    assert "# alive" in after(found)
    echo = run(tmp_path)["Echo"]()
    answer = echo.handle({"action": "health_check"})
    assert (answer["status"], answer["service"], answer["queue"], answer["issues"]) == ("healthy", "Echo", 3, [])
    assert answer["timestamp"] > 1e9
    assert isinstance(answer["machine"], str)
    assert echo.handle({"action": "x"}) == {"status": "ok", "echo": {"action": "x"}}
    assert left(tmp_path, "health-dialect") == []


def test_health_word_somebody_looks_for_is_only_suggested(tmp_path: Path) -> None:
    """When code of the tree compares a status with the old word, changing the word is a person's decision."""
    put(
        tmp_path,
        a='class A:\n    def health_check(self):\n        return {"status": "ok"}\n',
        b='def good(reply):\n    return reply["status"] == "ok"\n',
    )
    found = mend(tmp_path, "health-dialect")
    assert found.changes == []
    assert '"status": "healthy"' in proposed(found)


def test_health_answer_by_condition(tmp_path: Path) -> None:
    """Both words of a conditional answer are mended."""
    put(
        tmp_path,
        a="""
        class A:
            up = True
            def health_check(self):
                return {"status": "running" if self.up else "down"}
        """,
    )
    mend(tmp_path, "health-dialect")
    agent = run(tmp_path)["A"]()
    assert agent.health_check()["status"] == "healthy"
    agent.up = False
    assert agent.health_check()["status"] == "unhealthy"


def test_health_answer_of_a_web_route_is_only_suggested(tmp_path: Path) -> None:
    """What a load balancer may look for is not changed without asking."""
    put(tmp_path, a='def make(app):\n    @app.get("/health")\n    def health():\n        return {"status": "ok"}\n')
    found = mend(tmp_path, "health-dialect")
    assert found.changes == []
    assert '"status": "healthy"' in proposed(found)


@pytest.mark.parametrize(
    "text",
    [
        'from time import time\nclass A:\n    def health_check(self):\n        return {"status": "ok", "at": time()}\n',
        'class A:\n    def health_check(self, time):\n        return {"status": "ok", "at": time}\n',
        'import my_clock as time\nclass A:\n    def health_check(self):\n        return {"status": "ok"}\n',
    ],
    ids=["function", "parameter", "alias"],
)
def test_needed_import_never_hides_another_meaning(tmp_path: Path, text: str) -> None:
    """Where a name is taken, the change that would need it is left out."""
    put(tmp_path, a=text)
    assert mend(tmp_path, "health-dialect").changes == []
