"""lacnode: a permissioned EVM node that speaks Hyperledger Besu's IBFT 2.0 dialect.

The package root holds the version and nothing else. To import `lacnode` loads no module of the node.
"""

__version__ = "0.2.0"
