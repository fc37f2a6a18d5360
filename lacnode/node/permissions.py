"""The rules of one node, put together from its settings: what the pool, the chain, the network and RPC ask.

Must not decide anything itself.
"""

import time
from collections.abc import Sequence

from lacnode.p2p.wire.enode import Enode
from lacnode.permissioning.account_contract import AccountContract
from lacnode.permissioning.account_permissions import AccountPermissions, LocalAccounts
from lacnode.permissioning.contract_reader import ContractReader
from lacnode.permissioning.node_contract import NodeContract
from lacnode.permissioning.node_permissions import LocalNodes, NodePermissions
from lacnode.permissioning.refused import RefusedConnections
from lacnode.permissioning.settings import PermissioningSettings


class Permissions:
    """`accounts` judges transactions, `nodes` connections, `refused` are the connections that were not allowed."""

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
    ) -> None:
        self.settings = settings
        self.account_contract = (
            None if settings.account_contract is None else AccountContract(reader, settings.account_contract)
        )
        self.node_contract = (
            None
            if settings.node_contract is None
            else NodeContract(reader, settings.node_contract, settings.node_contract_version)
        )
        self.accounts = AccountPermissions(local_accounts, self.account_contract)
        self.nodes = NodePermissions(
            own_id,
            local=local_nodes,
            contract=self.node_contract,
            bootnodes=[enode.id for enode in bootnodes],
            fixed=[enode.id for enode in (*bootnodes, *static_nodes)],
        )
        self.refused = RefusedConnections(time.time)
