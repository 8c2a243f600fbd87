"""Tandem runs a household of AI agents on the computers you own.

Where things are (an upper layer may import any lower one; import-linter holds it):

    cli        one file per verb of the command line
    supervise  keeper, node, zygote: what keeps agents alive
    agent      what an agent's author uses, and what runs it
    registry, infra   names and leases; the servers Tandem starts itself
    rpc, events       request/reply between agents; publish/subscribe over NATS
    telemetry, security   traces and metrics; identities, tokens, secrets
    fleet      what should run: one file, typed and checked
    core       clock, ids, paths, errors, deadlines, health: no imports of ours
"""

__version__ = "0.1.0"
