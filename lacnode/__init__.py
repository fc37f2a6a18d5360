"""lacnode: a permissioned EVM node that speaks Hyperledger Besu's IBFT 2.0 dialect.

The package root holds the version and nothing else, so that importing any room costs only that room.
"""

__version__ = "0.1.0"
