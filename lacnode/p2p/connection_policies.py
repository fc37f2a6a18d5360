"""The policies that decide about connections. Permissioning is one of them.

The network asks before it dials, after the Hello of the other node, and again for every session when a policy may have
changed its answer (`P2pNetwork.recheck_connections`). `decide` answers at once and on the event loop. A policy that has
to look something up refuses until it knows the answer. `prepare_decision` waits for that answer where a session can wait.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.decision import Decision

ALLOW_ALL_RULE, DENY_LIST_RULE = "allow-all", "deny-list"
LOOKUP_PENDING_RULE = "lookup-pending"
"""The rule of a refusal that holds until the policy has looked up its answer."""

THIS_NODE = "this node"
ALLOWED = Decision(True, ALLOW_ALL_RULE, THIS_NODE, None, "every node may connect")


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection between this node (`local`) and another (`remote`), which exists or is planned.

    `is_inbound` is True if the other node dials. Rules may allow one direction only. Two connections are equal if their
    `remote`, with its address, and their direction are equal, wherever this node listens.
    """

    remote: Enode
    is_inbound: bool
    # `local` is not compared: policies keep decisions by connection, and a decision must stay valid when this node learns
    # its real port.
    local: Enode = field(compare=False)

    @property
    def dialling_node(self) -> Enode:
        """The node that dials."""
        return self.remote if self.is_inbound else self.local

    @property
    def dialled_node(self) -> Enode:
        """The node that is dialled."""
        return self.local if self.is_inbound else self.remote


class ConnectionPolicy(Protocol):
    """Decides whether a connection may exist. Used on the event loop."""

    def decide(self, connection: Connection) -> Decision:
        """Return whether `connection` may exist now, and the rule that says so. Must return at once."""

    async def prepare_decision(self, connection: Connection) -> None:
        """Return once `decide` can answer about `connection` at once. The answer itself is that of `decide`."""


def find_refusal(policy: ConnectionPolicy, connection: Connection) -> Decision | None:
    """Return the refusal of `policy`. None if it allows `connection`, or has to look up its answer first."""
    decision = policy.decide(connection)
    return None if decision.allowed or decision.rule == LOOKUP_PENDING_RULE else decision


class AllowAllPolicy:
    """A `ConnectionPolicy` that allows every connection."""

    def decide(self, connection: Connection) -> Decision:
        """Return `ALLOWED` for every connection."""
        return ALLOWED

    async def prepare_decision(self, connection: Connection) -> None:
        """Return at once: `decide` can always answer."""


class DenyListPolicy:
    """Refuses connections with nodes whose id (64 bytes) is in `denied`, which may change while the network runs.
    `reason` is the text of the refusal. It serves `--banned-node-ids` and the partitions of a devnet."""

    def __init__(self, reason: str, denied: Iterable[bytes] = ()) -> None:
        self.denied = frozenset(denied)
        self._refused = Decision(False, DENY_LIST_RULE, THIS_NODE, None, reason)

    def decide(self, connection: Connection) -> Decision:
        """Return a refusal by the rule `DENY_LIST_RULE` if the id of the other node is in `denied`, otherwise
        `ALLOWED`.
        """
        return self._refused if connection.remote.id in self.denied else ALLOWED

    async def prepare_decision(self, connection: Connection) -> None:
        """Return at once: `decide` can always answer."""


class CombinedPolicy:
    """Allows a connection if every one of `policies` allows it. The first refusal, in their order, is the answer."""

    def __init__(self, policies: Iterable[ConnectionPolicy]) -> None:
        self._policies = tuple(policies)

    def decide(self, connection: Connection) -> Decision:
        """Return the first refusal of the policies, in their order. `ALLOWED` if none of them refuses."""
        # A generator: policies behind the first refusal are not asked. The order of the policies decides which reason
        # is logged.
        decisions = (policy.decide(connection) for policy in self._policies)
        return next((decision for decision in decisions if not decision.allowed), ALLOWED)

    async def prepare_decision(self, connection: Connection) -> None:
        """Return once every policy can answer at once."""
        # One after the other, all of them: `decide` asks each policy and must find an answer in each.
        for policy in self._policies:
            await policy.prepare_decision(connection)
