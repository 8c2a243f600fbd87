"""The truth about a tree of agents: what keeps it from starting, what will bite, what is ugly; and careful mends.

    walk, source, record, cache   files in, what each yields out, kept for the next run
    python      parsed modules, their facts, the whole-program index, and how sockets travel
    fleet       start-up configurations, Compose files and Dockerfiles, with the place of every value
    rules       one idea a module: pure functions from facts to findings; `catalogue` lists them
    scan        the audit: examine the changed files on all cores, then look across all of them
    baseline, summary, report     the trend, the numbers, and the outputs
    fix         format-preserving changes for what can be mended safely

Nothing here imports or runs the audited code.
"""

from tandem.audit.model import Confidence, Finding, Rule, Severity
from tandem.audit.scan import Audit, Options, audit

__all__ = ["Audit", "Confidence", "Finding", "Options", "Rule", "Severity", "audit"]
