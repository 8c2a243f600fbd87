"""The agent's claim on its own name in the registry."""

from __future__ import annotations

import os
from pathlib import Path

from tandem.agent.spec import AgentSpec
from tandem.core import clock
from tandem.core.errors import TandemError
from tandem.core.health import HealthReport
from tandem.core.paths import MachineDirs
from tandem.registry import Lease, Registry


class LeaseHolder:
    """Refreshes the lease the node wrote at the start, so that the name keeps resolving while the node is away."""

    def __init__(self, registry: Registry | None, spec: AgentSpec):
        self._registry = registry
        self._spec = spec

    async def refresh(self, report: HealthReport) -> None:
        """Write the lease; an absent registry is no fault of ours and heals by the next refresh."""
        if self._registry is None:
            return
        try:
            await self._registry.refresh(self.lease(report))
        except TandemError:
            return

    def lease(self, report: HealthReport) -> Lease:
        """The claim as it is written."""
        spec = self._spec
        dirs = MachineDirs(Path(spec.state_dir), Path(spec.run_dir))
        return Lease(
            agent=spec.name,
            machine=spec.machine,
            instance=spec.instance,
            pid=os.getpid(),
            unix=str(dirs.agent_socket(spec.name)) if spec.unix_fd is not None else None,
            zmq=spec.tcp_endpoint,
            curve_public=spec.curve.public.decode() if spec.curve is not None else "",
            release=spec.release,
            time=clock.wall(),
            status=report.status.value,
        )
