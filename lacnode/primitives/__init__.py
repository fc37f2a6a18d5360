"""Immutable values of the chain and their RLP: header, transaction, receipt, block.

Nothing here does IO, signs, or knows a consensus rule. In particular a header has no `hash` here: the hash of an
IBFT 2.0 block is a consensus rule (`lacnode.consensus.block_hash`), and `keccak256(header.encode())` is wrong for
every block but the genesis.
"""
