"""The rules of one node, put together from its settings. The pool, the chain, the network and RPC ask them.

Must not have rules of its own.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from lacnode.chain.simulated_contracts import SimulatedContracts
from lacnode.chainspec.permissioning_schedule import NO_EXCEPTIONS, PermissioningSchedule
from lacnode.evm.budget import ExecutionBudget
from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.account_contract import RULE as ACCOUNT_RULE
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.account_permissions import AccountPermissions, LocalAccounts
from lacnode.permissioning.contract_reader import ContractReader, ContractUnreadableError
from lacnode.permissioning.decision import Decision
from lacnode.permissioning.lockout import ChangeSimulation, PermissionContracts
from lacnode.permissioning.node_contract import RULE as NODE_RULE
from lacnode.permissioning.node_contract import NodeContract
from lacnode.permissioning.node_permissions import LocalNodes, NodePermissions, PermissioningContext
from lacnode.permissioning.node_type import read_node_type
from lacnode.permissioning.refusal_explanation import RefusalExplainer
from lacnode.permissioning.refused_connections import RefusedConnections
from lacnode.permissioning.settings import PermissioningSettings
from lacnode.permissioning.topology import NodeType
from lacnode.permissioning.transaction_call import TransactionCall
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.hexadecimal import to_hex

CONTRACT_TIMEOUT_SECONDS = 2.0


class PermissioningRules:
    """All rules of one node. `accounts` decides about transactions, `nodes` about connections. `refused_connections`
    records the connections that were refused."""

    def __init__(
        self,
        settings: PermissioningSettings,
        reader: ContractReader,
        *,
        own_id: bytes,
        bootnodes: Sequence[Enode],
        static_nodes: Sequence[Enode],
        local_accounts: LocalAccounts | None = None,
        local_nodes: LocalNodes | None = None,
        schedule: PermissioningSchedule = NO_EXCEPTIONS,
    ) -> None:
        self.settings = settings
        self.schedule = schedule
        self.account_contract = (
            None if settings.account_contract is None else AccountContract(reader, settings.account_contract, schedule)
        )
        self.node_contract = (
            None
            if settings.node_contract is None
            else NodeContract(reader, settings.node_contract, settings.node_contract_version)
        )

        def accounts() -> AccountPermissions:
            return AccountPermissions(local_accounts, self.account_contract)

        def nodes() -> NodePermissions:
            return NodePermissions(
                own_id,
                local=local_nodes,
                contract=self.node_contract,
                bootnodes=[enode.id for enode in bootnodes],
                fixed=[enode.id for enode in (*bootnodes, *static_nodes)],
            )

        self.accounts, self.nodes = accounts(), nodes()
        # Explanations ask the same rules once more. This is no further decision, so it counts in other counters.
        self._explained_accounts, self._explained_nodes = accounts(), nodes()
        self.refused_connections = RefusedConnections(time.time)
        self._reader = reader
        self._own_id = own_id
        self._node_explainer = _explainer(reader, settings.node_contract)
        self._account_explainer = _explainer(reader, settings.account_contract)

    def explain_connection(self, source: Enode, destination: Enode, context: PermissioningContext) -> Decision:
        """Return whether `source` may connect to `destination`, and why not. It asks contracts, so call it in a worker
        thread. It does not count as a check.
        """
        if not self.nodes.involves_this_node(source, destination):
            # Between two other nodes it does not matter what this node has seen of the network so far.
            context = replace(context, is_current=True, is_isolated=False)
        decision = self._explained_nodes.decide(source, destination, context, CONTRACT_TIMEOUT_SECONDS)
        if decision.rule != NODE_RULE or self._node_explainer is None or self.node_contract is None:
            return decision
        is_askable = self.node_contract.can_encode_question(source, destination)
        if not is_askable or not self.node_contract.gives_answer(
            source, destination, context.header, CONTRACT_TIMEOUT_SECONDS
        ):
            # The decision names the fault of the question or of the contract already. The rules do not matter then.
            return decision
        if decision.allowed:
            hints = [self.moved_node_hint(enode, context.header) for enode in (source, destination)]
            return replace(decision, reason="; ".join([decision.reason, *(hint for hint in hints if hint)]))
        return self._node_explainer.explain_connection(decision, source, destination, context.header)

    def explain_transaction(self, transaction: TransactionCall, sender: bytes, head: BlockHeader) -> Decision:
        """Return whether `sender` (20-byte address) may send `transaction`, and why not, by the state after `head`. If
        the contract cannot be read, the answer is a refusal that says so. It does not count as a check. It asks
        contracts, so call it in a worker thread."""
        try:
            decision = self._explained_accounts.may_enter_pool(transaction, sender, head)
        except ContractUnreadableError as unreadable:
            source = to_hex(self.settings.account_contract or b"")
            # An unreadable contract refuses, as it does in the pool: a node must not permit a transaction because it
            # cannot read the rules.
            return Decision(False, ACCOUNT_RULE, source, head.number, f"the contract {unreadable}")
        if decision.allowed or decision.rule != ACCOUNT_RULE or self._account_explainer is None:
            return decision
        return self._account_explainer.explain_transaction(decision, transaction, sender, head)

    def moved_node_hint(self, enode: Enode, head: BlockHeader) -> str | None:
        """Return a sentence for the operator if lacnode's own node rules list the node of `enode` at another address.
        None if they list it at this address or not at all, without such rules, and if they give no answer now. It calls
        contracts, so call it in a worker thread."""
        place = None if self._node_explainer is None else self._node_explainer.find_other_listed_address(enode, head)
        if place is None:
            return None
        return f"{enode.id.hex()[:16]}… is at {enode.host_and_port} and listed with {place}"

    def own_node_type(self, head: BlockHeader) -> NodeType | None:
        """Return the type with which the rules behind the node contract list this node. None without a node contract,
        if the node is not listed, if the type is unknown, or if a contract gives no valid answer. It calls contracts,
        so call it in a worker thread."""
        ingress = self.settings.node_contract
        return None if ingress is None else read_node_type(self._reader, ingress, self._own_id, head)

    def find_contract_errors(self, head: BlockHeader) -> list[str]:
        """Return sentences about contracts that do not answer as they should, for the operator at the start. Empty if
        there is nothing to say. It calls contracts, so call it in a worker thread.
        """
        node = None if self.node_contract is None else self.node_contract.find_problem(head, CONTRACT_TIMEOUT_SECONDS)
        account = (
            None
            if self.account_contract is None
            else self.account_contract.find_problem(head, CONTRACT_TIMEOUT_SECONDS)
        )
        return [text for text in (node, account) if text is not None]


def _explainer(reader: ContractReader, address: bytes | None) -> RefusalExplainer | None:
    return None if address is None else RefusalExplainer(reader, address)


Simulation = Callable[[TransactionCall, bytes, ExecutionBudget], SimulatedContracts]
"""The state after a transaction of a sender on the head. Raises as `SimulatedContracts` does."""


class PermissionQueries:
    """Answers the questions of RPC about permissions. It applies the rules in `permissions` to the head, the validators
    and the peers of this moment, which `context` returns. `simulate` executes a transaction on the head without storing
    anything."""

    def __init__(
        self, permissions: PermissioningRules, context: Callable[[], PermissioningContext], simulate: Simulation
    ) -> None:
        self._permissions = permissions
        self._permissioning_context = context
        self._simulate = simulate

    @property
    def refused_connections(self) -> RefusedConnections:
        """The record of the connections that the rules refused and have not permitted since. Empty at the start."""
        return self._permissions.refused_connections

    def explain_connection(self, source: Enode, destination: Enode) -> Decision:
        """Return whether `source` may connect to `destination` now, and why not. It asks contracts, so call it in a
        worker thread.
        """
        return self._permissions.explain_connection(source, destination, self._permissioning_context())

    def explain_transaction(self, call: TransactionCall, sender: bytes) -> Decision:
        """Return whether `sender` (20-byte address) may send `call` now, and why not, by the state of the head. If the
        contract cannot be read, the answer is a refusal that says so. It asks contracts, so call it in a worker
        thread."""
        return self._permissions.explain_transaction(call, sender, self._permissioning_context().header)

    def simulate_change(self, call: TransactionCall, sender: bytes, budget: ExecutionBudget) -> ChangeSimulation:
        """Execute `call`, a change of the rules, on a copy of the head's state, and keep nothing. Return whether it
        succeeds, which accounts can change the rules after it, and whether there is an admin contract after it
        (`has_admin_contract`): without one there is no lockout. Of the accounts, only `sender` (20 bytes) and the
        listed administrators are looked at. The changed rules are not returned. TransactionRejectedError if the
        transaction cannot be in the next block, SystemCallError if no block can, ExecutionInterruptedError if `budget`
        is used up."""
        address = self._permissions.settings.account_contract
        changed = self._simulate(call, sender, budget)
        if address is None:
            return ChangeSimulation(changed.succeeded, (), has_admin_contract=False)
        contract = AccountContract(changed.reader, address, self._permissions.schedule)
        holders = PermissionContracts(changed.reader, contract, changed.header)
        # The sender comes first, also if it is no administrator after the change.
        accounts = tuple(dict.fromkeys((sender, *holders.admins())))
        return ChangeSimulation(
            changed.succeeded,
            holders.find_accounts_able_to_change(accounts),
            has_admin_contract=holders.has_admin_contract,
        )

    def status(self) -> dict[str, object]:
        """Return, for RPC, the rules in force, their troubles, and the counts under the names of Besu's metrics, as a
        JSON object. It calls contracts, so call it in a worker thread.
        """
        settings, context = self._permissions.settings, self._permissioning_context()
        return {
            "nodesFile": None if settings.nodes_file is None else str(settings.nodes_file),
            "accountsFile": None if settings.accounts_file is None else str(settings.accounts_file),
            "nodeContract": None if settings.node_contract is None else to_hex(settings.node_contract),
            "nodeContractVersion": settings.node_contract_version,
            "accountContract": None if settings.account_contract is None else to_hex(settings.account_contract),
            "blockNumber": hex(context.header.number),
            "isCurrent": context.is_current,
            "troubles": self._permissions.find_contract_errors(context.header),
            "checks": {**self._permissions.nodes.counts.as_dict(), **self._permissions.accounts.counts.as_dict()},
        }
