"""The rules about connections, in their order, applied to the state of a chain at one time.

The order is Besu's, with two rules of lacnode. The first rule is that the validators of the last known state admit one
another, unless one of them is denied by name. The last rule lets this node and a validator meet if the contract gives
no answer. So a network recovers without help after a cold start, or after its node contract broke. This module must not
keep a state. The caller gives the state of the chain.
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
    """The interface of a list of nodes in a local file. It does not block."""

    def decide(self, enode: Enode) -> Decision:
        """Return a permission if `enode` is this node itself or is in the list in force with its id, IP address and TCP
        port, else a refusal. A change of the file counts once the list is read again."""


@dataclass(frozen=True, slots=True)
class PermissioningContext:
    """The facts about the chain and the peers that the rules use, besides the two nodes.

    `header` is the header of the head. `validators` are the addresses (20 bytes) that agree on the next block.
    `is_current` is True if the chain has caught up with the network since the start of this node, or if this node is a
    validator. `is_isolated` is True if no peer but bootnodes is connected.
    """

    header: BlockHeader
    validators: Collection[bytes]
    is_current: bool
    is_isolated: bool


class NodePermissions:
    """The connection rules of the node `own_id`. `local` and `contract` are None if they are off. Both must allow,
    apart from the exceptions in `decide`.

    Node ids have 64 bytes. `bootnodes` are the ids of the bootnodes. `fixed` are the ids of bootnodes and static nodes.
    """

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
        self._validator_ids = frozenset[bytes]()
        """The ids (64 bytes) of the validators that this node has met."""

    @property
    def are_enabled(self) -> bool:
        """Whether a local list of nodes or a node contract is configured."""
        return self._local is not None or self._contract is not None

    def are_bootnodes(self, ids: Iterable[bytes]) -> bool:
        """Return True if all of these node ids (64 bytes) are bootnodes. True for no ids."""
        return self._bootnodes.issuperset(ids)

    def involves_this_node(self, *nodes: Enode) -> bool:
        """Return True if one of `nodes` has the id of this node. False for no nodes."""
        return any(enode.id == self._own_id for enode in nodes)

    def decide(self, source: Enode, destination: Enode, context: PermissioningContext, seconds: float) -> Decision:
        """Decide whether `source` may connect to `destination`, in this direction. The decision is counted.

        If a contract is configured, exceptions come first: for two validators that the local list permits, while this
        node synchronises, and while it is isolated. Where no exception decides, the local list and then the contract
        are asked. The contract has at most `seconds` for each answer. A missing answer is a refusal, except between
        this node and a validator. Contract errors are not raised. A permission if no rules are configured.
        """
        # The decision is counted here, at the one exit, so that each question counts once for each rule.
        return self.counts.count_decision(self._decide(source, destination, context, seconds))

    def _decide(self, source: Enode, destination: Enode, context: PermissioningContext, seconds: float) -> Decision:
        # The exceptions come before the rules. They exist for times when the contract cannot give the right answer:
        # the state here is old, or the contract is broken. Without a contract there is no such time.
        if self._contract is not None:
            exception = self._exception_to_contract(self._contract, source, destination, context, seconds)
            if exception is not None:
                return exception
        return self._decide_by_rules(source, destination, context, seconds)

    def _exception_to_contract(
        self, contract: NodeContract, source: Enode, destination: Enode, context: PermissioningContext, seconds: float
    ) -> Decision | None:
        number = context.header.number
        # 1. Validators. They must meet to make the next block, and only a new block can correct the contract. If the
        #    contract could keep them apart, one mistake in it would stop the network for ever.
        if all(address_of(enode.id) in context.validators for enode in (source, destination)):
            # An administrator or the operator can still deny a validator by name. Such a denial is no accident.
            if self._is_denied(contract, source, destination, context, seconds):
                return None
            return self._local_refusal(source, destination) or _exception(
                "validators-of-the-state", number, "both are validators, and validators always admit one another"
            )
        # 2. Synchronising, towards a fixed node. The contract's state here is old, and it may be empty at the genesis.
        #    The operator chose these nodes, so this node may fetch the blocks from them.
        if not context.is_current and destination.id in self._fixed:
            self.counts.count_check(SYNC_STATUS, True)
            return _exception(
                "not-synchronised", number, "this node is still synchronising, and the other is one of its fixed nodes"
            )
        # 3. No peers. Besu's rule against a node that the contract isolates: the bootnodes stay reachable.
        if context.is_isolated and {source.id, destination.id} <= {self._own_id, *self._bootnodes}:
            return _exception(
                "insufficient-peers", number, "this node has no peers but bootnodes, and the other is a bootnode"
            )
        # 4. Synchronising, towards any other node. The old state must not decide, so the answer is no until the chain
        #    has caught up. Without fixed nodes the contract decides, because there would be no way to catch up.
        if not context.is_current and self._fixed:
            self.counts.count_check(SYNC_STATUS, False)
            return Decision(
                False,
                "not-synchronised",
                THIS_NODE,
                number,
                "this node is still synchronising and until then connects to its bootnodes and static nodes only",
            )
        return None

    def _is_denied(
        self, contract: NodeContract, source: Enode, destination: Enode, context: PermissioningContext, seconds: float
    ) -> bool:
        """Return True if the contract lists one of the two validators as denied, and not so many that no block could
        follow."""
        # The addresses of the validators are known, and the ids of those that this node was told of or has met.
        met = self._validator_ids | self._fixed | {self._own_id, source.id, destination.id}
        self._validator_ids = met = frozenset(id_ for id_ in met if address_of(id_) in context.validators)
        denied = {id_ for id_ in met if contract.lists_as_denied(id_, context.header, seconds)}
        # Without a quorum there is no block, so nothing could undo the denials. They are a mistake, or an attack of an
        # administrator.
        return not denied.isdisjoint((source.id, destination.id)) and len(denied) <= len(context.validators) // 3

    def _decide_by_rules(
        self, source: Enode, destination: Enode, context: PermissioningContext, seconds: float
    ) -> Decision:
        # The local list costs nothing, so it is asked before the contract. Both have to agree.
        refusal = self._local_refusal(source, destination)
        if refusal is not None:
            return refusal
        if self._contract is not None:
            decision = self._contract.decide(source, destination, context.header, seconds)
            if not decision.allowed and self._is_recovery_path(self._contract, source, destination, context, seconds):
                return _exception(
                    "validators-of-the-state",
                    context.header.number,
                    "the contract gives no answer, and the other node is a validator, which may have newer blocks",
                )
            self.counts.count_check(NODE_CONTRACT, decision.allowed)
            return decision
        # Without a contract the list has already allowed both nodes. Its decision carries the reason for the
        # explanation.
        return NO_RULES if self._local is None else self._local.decide(destination)

    def _is_recovery_path(
        self, contract: NodeContract, source: Enode, destination: Enode, context: PermissioningContext, seconds: float
    ) -> bool:
        """Return True if the contract gives no answer and the other node is a validator.

        A later block corrects a broken contract. A validator is the node that this node can receive this block from.
        """
        # Only a connection of this node counts. This node cannot judge what two other nodes need.
        others = [enode for enode in (source, destination) if enode.id != self._own_id]
        return (
            len(others) == 1
            and address_of(others[0].id) in context.validators
            and not contract.gives_answer(source, destination, context.header, seconds)
        )

    def _local_refusal(self, source: Enode, destination: Enode) -> Decision | None:
        if self._local is None:
            return None
        # Both ends must be listed. This node is usually one of them, and the list always allows it.
        decisions = (self._local.decide(enode) for enode in (source, destination))
        refusal = next((decision for decision in decisions if not decision.allowed), None)
        self.counts.count_check(NODE_LOCAL, refusal is None)
        return refusal


def _exception(rule: str, block: int, reason: str) -> Decision:
    return Decision(True, rule, THIS_NODE, block, reason)
