"""The error bus: errors become reports, floods of reports become one incident with a probable cause.

severity, report   what an error is when it travels
segments, spool    where reports wait on disk, crash-safe and bounded
client             what an agent reports with; ships the spool to the stream
feed               reports of the whole fleet, followed or read back
flood, correlate   pure: which reports are a flood, and which belong together
incidents          the store of incidents
escalate, notify   pure: who is told when; and how
desk               all of it together, run by the observability hub
"""

from tandem.errors.client import ErrorClient, Receipt
from tandem.errors.report import ErrorReport
from tandem.errors.severity import Severity

__all__ = ["ErrorClient", "ErrorReport", "Receipt", "Severity"]
