"""May this node connect to that one? The rules in their order, applied to one moment of a chain.

The order is Besu's, with one rule of our own at its head: the validators of the last known state admit one another, so
that a network that starts cold, or whose contract broke, comes back by itself. Must not keep state: what the moment is
like is given by the caller.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Protocol

from lacnode.crypto.secp256k1 import address_of
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.check_counters import NODE_CONTRACT, NODE_LOCAL, SYNC_STATUS, CheckCounters
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.node_contract import NodeContract
from lacnode.primitives.header import BlockHeader

THIS_NODE = "this node"
NO_RULES = Decision(True, "no-permissioning", THIS_NODE, None, "no rules about nodes are configured")


class LocalNodes(Protocol):
    """A list of nodes in a local file."""

    def decide(self, enode: Enode) -> Decision: ...


@dataclass(frozen=True, slots=True)
class PermissioningContext:
    """What the rules look at besides the two nodes.

    `header` is the head's and `validators` are the addresses that agree on the block after it. `is_current` says that
    the chain is, or once was since the start, as long as the network's; `is_isolated` that no peer is connected but
    bootnodes.
    """

    header: BlockHeader
    validators: Collection[bytes]
    is_current: bool
    is_isolated: bool


class NodePermissions:
    """The rules of the node with `own_id`. `bootnodes` and `fixed` (bootnodes and static nodes) are node ids."""

    def __init__(
        self,
        own_id: bytes,
        *,
        local: LocalNodes | None = None,
        contract: NodeContract | None = None,
        bootnodes: Collection[bytes] = (),
        fixed: Collection[bytes] = (),
    ) -> None:
        self.counts = CheckCounters(NODE_CONTRACT, NODE_LOCAL, SYNC_STATUS)
        self._own_id = own_id
        self._local = local
        self._contract = contract
        self._bootnodes = frozenset(bootnodes)
        self._fixed = frozenset(fixed)

    @property
    def are_enabled(self) -> bool:
        """Whether there is anything to decide."""
        return self._local is not None or self._contract is not None

    def are_bootnodes(self, ids: Iterable[bytes]) -> bool:
        """Whether all of these node ids are bootnodes'."""
        return self._bootnodes.issuperset(ids)

    def involves_this_node(self, *nodes: Enode) -> bool:
        """Whether one of `nodes` is this node."""
        return any(enode.id == self._own_id for enode in nodes)

    def decide(self, source: Enode, destination: Enode, context: PermissioningContext, seconds: float) -> Decision:
        """Whether `source` may connect to `destination`; a contract has so many seconds for its answer."""
        return self.counts.add_decision(self._decide(source, destination, context, seconds))

    def _decide(self, source: Enode, destination: Enode, context: PermissioningContext, seconds: float) -> Decision:
        if self._contract is not None:
            exception = self._despite_the_contract(self._contract, source, destination, context, seconds)
            if exception is not None:
                return exception
        return self._by_the_rules(source, destination, context, seconds)

    def _despite_the_contract(
        self, contract: NodeContract, source: Enode, destination: Enode, context: PermissioningContext, seconds: float
    ) -> Decision | None:
        number = context.header.number
        if all(address_of(enode.id) in context.validators for enode in (source, destination)):
            # Who is denied by name is denied, be it by the operator of this node or by the network's administrators.
            if any(contract.denies(enode, context.header, seconds) for enode in (source, destination)):
                return None
            return self._local_refusal(source, destination) or _exception(
                "validators-of-the-state", number, "both are validators, and validators always admit one another"
            )
        if not context.is_current and destination.id in self._fixed:
            self.counts.add(SYNC_STATUS, True)
            return _exception(
                "not-synchronised", number, "this node is still synchronising, and the other is one of its fixed nodes"
            )
        if context.is_isolated and {source.id, destination.id} <= {self._own_id, *self._bootnodes}:
            return _exception(
                "insufficient-peers", number, "this node has no peers but bootnodes, and the other is a bootnode"
            )
        if not context.is_current and self._fixed:
            self.counts.add(SYNC_STATUS, False)
            return Decision(
                False,
                "not-synchronised",
                THIS_NODE,
                number,
                "this node is still synchronising and until then connects to its bootnodes and static nodes only",
            )
        return None

    def _by_the_rules(
        self, source: Enode, destination: Enode, context: PermissioningContext, seconds: float
    ) -> Decision:
        refusal = self._local_refusal(source, destination)
        if refusal is not None:
            return refusal
        if self._contract is not None:
            decision = self._contract.decide(source, destination, context.header, seconds)
            if not decision.allowed and self._is_way_back(self._contract, source, destination, context, seconds):
                return _exception(
                    "validators-of-the-state",
                    context.header.number,
                    "the contract gives no answer, and the other node is a validator, which may have better news of it",
                )
            self.counts.add(NODE_CONTRACT, decision.allowed)
            return decision
        return NO_RULES if self._local is None else self._local.decide(destination)

    def _is_way_back(
        self, contract: NodeContract, source: Enode, destination: Enode, context: PermissioningContext, seconds: float
    ) -> bool:
        """A broken contract is mended in a block that this node must be able to hear of: from a validator, if at all."""
        others = [enode for enode in (source, destination) if enode.id != self._own_id]
        return (
            len(others) == 1
            and address_of(others[0].id) in context.validators
            and not contract.answers(source, destination, context.header, seconds)
        )

    def _local_refusal(self, source: Enode, destination: Enode) -> Decision | None:
        if self._local is None:
            return None
        decisions = (self._local.decide(enode) for enode in (source, destination))
        refusal = next((decision for decision in decisions if not decision.allowed), None)
        self.counts.add(NODE_LOCAL, refusal is None)
        return refusal


def _exception(rule: str, block: int, reason: str) -> Decision:
    return Decision(True, rule, THIS_NODE, block, reason)
