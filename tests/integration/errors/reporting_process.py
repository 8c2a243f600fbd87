"""Reports errors as fast as it can and says on stdout how many were accepted, until it is killed."""

from __future__ import annotations

import sys
from pathlib import Path

from tandem.core.ids import AgentId
from tandem.errors import ErrorClient

client = ErrorClient(AgentId("Victim@mainpc"), Path(sys.argv[1]), None)
number = 0
while client.report("T", str(number)).accepted:
    number += 1
    sys.stdout.write(f"{number}\n")
    sys.stdout.flush()
