"""What `tandem top` shows of machines that are other computers: their hubs' word, and their nodes' logs."""

from __future__ import annotations

import asyncio

from msgspec.structs import replace

from tandem.cli.nats_link import nats_accesses
from tandem.cli.top_model import AgentRow, MachineRow
from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.ids import new_id
from tandem.events import Connection
from tandem.hub.picture import AgentPicture, MachinePicture
from tandem.supervise.log_reader import Line
from tandem.supervise.remote_logs import LogQuestion, ask_for_logs

CONNECT_S = 5.0


def machine_row(picture: MachinePicture) -> MachineRow:
    """One machine as its hub told ours."""
    of_units = [*(service.usage for service in picture.services), *(agent.usage for agent in picture.agents)]
    usages = [usage for usage in of_units if usage is not None]
    return MachineRow(
        name=picture.machine,
        up_s=picture.up_s,
        servers={service.name: service.state for service in picture.services},
        cpu_fraction=sum(usage.cpu_fraction for usage in usages),
        memory_bytes=sum(usage.pss_bytes or usage.rss_bytes for usage in usages),
    )


def agent_rows(picture: MachinePicture) -> list[AgentRow]:
    """Its agents; of a machine that is not heard of what was known last, and that it is so."""
    rows = [_agent_row(agent) for agent in picture.agents]
    if picture.reach != "lost":
        return rows
    silent = f"not heard of for {max(0.0, clock.wall() - picture.at):.0f} s"
    return [replace(row, verdict="trouble", remark=silent, rate_hz=None, cpu_fraction=None) for row in rows]


def _agent_row(agent: AgentPicture) -> AgentRow:
    usage = agent.usage
    return AgentRow(
        id=agent.id,
        name=agent.name,
        machine=agent.machine,
        group=agent.group,
        state=agent.state,
        verdict=agent.verdict,
        restarts=agent.restarts,
        cpu_fraction=agent.figures.cpu if usage is None else usage.cpu_fraction,
        memory_bytes=agent.figures.rss_bytes if usage is None else usage.pss_bytes or usage.rss_bytes,
        rate_hz=agent.figures.requests_hz,
        remark="; ".join(agent.issues) or (agent.note if agent.verdict != "up" else ""),
    )


class FarTail:
    """An agent's lines by its machine's node; what cannot be had is a line itself, said once."""

    def __init__(self, agent: str, machine: str, count: int):
        self._agent = agent
        self._machine = machine
        self._count = count
        self._mark = new_id()
        self._connection: Connection | None = None
        self._said = ""

    async def read(self) -> list[Line]:
        """See :class:`~tandem.cli.top_model.LogTail`."""
        count, self._count = self._count, 0
        question = LogQuestion(names=[self._agent], lines=count, mark=self._mark)
        try:
            if self._connection is None:
                accesses = await asyncio.to_thread(nats_accesses)
                self._connection = Connection(accesses[0], "top")
                self._connection.start()
            answer = await ask_for_logs(await self._connection.client(CONNECT_S), self._machine, question)
        except TandemError as error:
            said, self._said = self._said, str(error)
            return [] if said == self._said else [Line("", "WARNING", self._said)]
        self._said = ""
        return answer.lines

    async def close(self) -> None:
        """See :class:`~tandem.cli.top_model.LogTail`."""
        if self._connection is not None:
            await self._connection.close()
