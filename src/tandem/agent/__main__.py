"""``python -m tandem.agent --spec-fd N``: an agent started by exec instead of by fork."""

from __future__ import annotations

import sys

from tandem.agent.run import main
from tandem.agent.spec import read_spec
from tandem.core.errors import EX_CONFIG

if __name__ == "__main__":
    match sys.argv[1:]:
        case ["--spec-fd", number] if number.isdigit():
            sys.exit(main(read_spec(int(number))))
        case _:
            print("tandem.agent is started by the supervisor; to run a fleet: tandem up", file=sys.stderr)
            sys.exit(EX_CONFIG)
