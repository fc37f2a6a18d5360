"""Desks for nodes of tests that have no rules."""

from typing import NoReturn

from lacnode.chain.blockchain import Blockchain
from lacnode.node.permissioning_rules import PermissioningRules, PermissionQueries
from lacnode.permissioning.node_permissions import PermissioningContext
from lacnode.permissioning.settings import PermissioningSettings
from lacnode.primitives.header import BlockHeader


class _NoContracts:
    """Nobody reads a contract where no contract is set."""

    def read(self, contract: bytes, data: bytes, header: BlockHeader, seconds: float) -> NoReturn:
        raise AssertionError("a contract was read")

    def fingerprint(self, accounts: object, header: BlockHeader) -> NoReturn:
        raise AssertionError("a contract was read")


def queries_without_rules(chain: Blockchain) -> PermissionQueries:
    """A responder at which everything is permitted."""
    permissions = PermissioningRules(
        PermissioningSettings(), _NoContracts(), own_id=bytes(64), bootnodes=(), static_nodes=()
    )  # fmt: skip
    return PermissionQueries(
        permissions,
        lambda: PermissioningContext(chain.head.header, (), is_current=True, is_isolated=False),
        chain.simulate,
    )
