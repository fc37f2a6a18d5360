"""What an operator chooses about permissioning. Must not read files or contracts."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PermissioningSettings:
    """Where the rules are; None where a kind of rules is off. Contracts are addresses of 20 bytes, `node_contract_version`
    is the interface that the node contract answers (1 or 2)."""

    accounts_file: Path | None = None
    nodes_file: Path | None = None
    node_contract: bytes | None = None
    node_contract_version: int = 1
    account_contract: bytes | None = None
