"""Who answers under which name: leases in the control Valkey, mirrored between machines, resolved for RPC.

lease      one running instance's claim on its name
client     the leases of one machine, and copies of the others'
resolver   from a peer's name to the endpoint RPC connects to
mirror     what the node does so that names of one machine are known on the others
"""

from tandem.core.access import ValkeyAccess
from tandem.registry.client import Registry
from tandem.registry.lease import LEASE_TTL_S, Change, Lease
from tandem.registry.mirror import Mirror
from tandem.registry.resolver import RegistryResolver

__all__ = ["LEASE_TTL_S", "Change", "Lease", "Mirror", "Registry", "RegistryResolver", "ValkeyAccess"]
