"""What a block that this node builds may hold beside its gas.

A block of another validator may hold more: what a quorum decided must be executed. Must not depend on the load.
"""

MAX_BLOCK_BYTES = 8 * 2**20
"""Bytes of the transactions of one block; Ethereum's bound too (EIP-7934). Gas bounds them at 16 gas a byte: 22 MB for
LACChain's blocks, and 88 MB of zeros. A proposal, or a round change with a prepared block, that is longer than a message of
devp2p (16 MiB) reaches no validator, and no later proposer could do better."""
