"""The servers Tandem starts itself on each machine: one nats-server, two Valkeys."""

from tandem.infra.credentials import CredentialDesk, CredentialKeeper
from tandem.infra.joining import Arrival, JoinDesk, join
from tandem.infra.nats import Hub, Leaf, Link
from tandem.infra.plan import link_of, nats_access, plan_servers, valkey_access
from tandem.infra.positions import Positions
from tandem.infra.probe import check, nats_state, wait_ready
from tandem.infra.refusals import Refusal, Refusals
from tandem.infra.reload import needs_restart, reload
from tandem.infra.spec import ConfigFile, NatsProbe, Probe, ServerSpec, ValkeyProbe, install, mend, prepare

__all__ = [
    "Arrival",
    "ConfigFile",
    "CredentialDesk",
    "CredentialKeeper",
    "Hub",
    "JoinDesk",
    "Leaf",
    "Link",
    "NatsProbe",
    "Positions",
    "Probe",
    "Refusal",
    "Refusals",
    "ServerSpec",
    "ValkeyProbe",
    "check",
    "install",
    "join",
    "link_of",
    "mend",
    "nats_access",
    "nats_state",
    "needs_restart",
    "plan_servers",
    "prepare",
    "reload",
    "valkey_access",
    "wait_ready",
]
