"""What should run: one file, typed, checked, and planned by levels."""

from tandem.fleet.diagnostics import Diagnostic, FleetInvalid, Severity
from tandem.fleet.load import LoadResult, Surroundings, find_fleet_file, load, load_text
from tandem.fleet.model import (
    AgentConfig,
    Fleet,
    GpuConfig,
    GroupConfig,
    InfraPorts,
    InvalidAgent,
    Limits,
    MachineConfig,
    PortRange,
    Probe,
    RestartPolicy,
)
from tandem.fleet.plan import blocked, dependants, plan, ready_to_start

__all__ = [
    "AgentConfig",
    "Diagnostic",
    "Fleet",
    "FleetInvalid",
    "GpuConfig",
    "GroupConfig",
    "InfraPorts",
    "InvalidAgent",
    "Limits",
    "LoadResult",
    "MachineConfig",
    "PortRange",
    "Probe",
    "RestartPolicy",
    "Severity",
    "Surroundings",
    "blocked",
    "dependants",
    "find_fleet_file",
    "load",
    "load_text",
    "plan",
    "ready_to_start",
]
