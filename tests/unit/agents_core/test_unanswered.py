"""What could not be answered must not come back as an answer."""

from __future__ import annotations

from types import SimpleNamespace

from tandem.agent.testing import virtual_time
from tandem_agents.core_services.contracts import FrontDoor


@virtual_time
async def test_a_model_never_sees_the_apology_for_its_absence(home: SimpleNamespace) -> None:
    """A question asked while the model was missing is answered once it is there, not with a copy of the apology."""
    async with home.household() as fleet:
        door = fleet.peer(FrontDoor)
        question = "why is the sky blue"
        assert "tandem models fetch" in (await door.ask(question)).answer
        parrot = await home.teach(fleet)
        assert "First sentence" in (await door.ask(question)).answer
    shown = " ".join(message.content for message in parrot.asked[-1])
    assert "tandem models fetch" not in shown
    assert shown.count(question) == 1
