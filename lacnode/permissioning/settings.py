"""Which rules of permissioning a node is told to follow.

Says where rules are, never what they are: reading a file or a contract is for others.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PermissioningSettings:
    """The sources of rules, None where one is off; several that are on must all allow.

    The files are Besu's TOML lists, and may be one and the same. The contracts are addresses of 20 bytes;
    `node_contract_version` is the interface that the node contract answers: 1 takes enodes in words, 2 in strings.
    """

    accounts_file: Path | None = None
    nodes_file: Path | None = None
    node_contract: bytes | None = None
    node_contract_version: int = 1
    account_contract: bytes | None = None
