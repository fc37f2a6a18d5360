"""The permissioning settings of a node: which rules it follows.

The settings say where the rules are. This module must not read a file or a contract.
"""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class PermissioningSettings:
    """The sources of the rules about nodes and about accounts: a file and a contract for each. A source that is off is
    None. If both sources about nodes, or both about accounts, are on, both must allow. `NodePermissions.decide` and
    `AccountPermissions` make exceptions.

    The files are Besu's TOML lists. Both lists may be in one file. The contracts are addresses of 20 bytes.
    `node_contract_version` is the interface of the node contract: 1 encodes enodes in words, 2 in strings. Nothing is
    checked or opened here.
    """

    accounts_file: Path | None = None
    nodes_file: Path | None = None
    node_contract: bytes | None = None
    node_contract_version: int = 1
    account_contract: bytes | None = None
