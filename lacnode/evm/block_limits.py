"""Bounds on a block that this node builds, beside its gas.

A block of another validator may hold more, up to the bounds for proposals. A block that a quorum prepared or decided has no
bounds, because it must be executed. Must not depend on the load.
"""

MAX_BLOCK_BYTES = 8 * 2**20
"""Bytes of the transactions of one block. Ethereum's bound too (EIP-7934). Gas bounds them at 16 gas a byte: 22 MB for
LACChain's blocks, and 88 MB of zeros. A proposal, or a round change with a prepared block, that is longer than a message of
devp2p (16 MiB) reaches no validator, and no later proposer could do better."""

BLOCK_BYTES_PER_SECOND = 2**20
"""Bytes of the transactions of one block for each second of the block period. Each validator decrypts, decodes, hashes,
executes, encodes and stores every byte, and sends it and relays it: one mebibyte takes four validators 0.15 s of a processor
together. LACChain's blocks full of transfers have 1.8 MiB in 2 s."""

LOG_BYTES = 300
"""About how many bytes a log takes in a node beside its topics and its data. A log without both costs 375 gas: a block of
LACChain's size has a million of them, 280 MB."""

MAX_BLOCK_LOG_BYTES = 16 * 2**20
"""Bytes of the logs of one block (see `estimated_log_bytes`). Every node decodes, encodes, hashes, stores and serves them.
Thirty thousand transfers of ERC-20 fit, more than the gas of LACChain's blocks buys."""

MAX_TRANSACTION_MEMORY_BYTES = 32 * 2**20
"""Bytes that one transaction holds: the memory of all nested calls, and about what it reads and changes of the state. For
the gas of LACChain's blocks one call alone gets 14 MB of memory, eight hundred get 400 KB each, all at once, and a loop that
reads or writes slots takes 500 MB."""

MAX_PROPOSAL_LOG_BYTES = 8 * MAX_BLOCK_LOG_BYTES
"""Bytes of the logs of a block that another validator proposes and no quorum has prepared. Without a bound one proposer
could make every validator hold 300 MB."""

MAX_PROPOSAL_MEMORY_BYTES = 128 * 2**20
"""Bytes that one transaction of such a block holds, counted as for `MAX_TRANSACTION_MEMORY_BYTES`. Transient storage alone
takes 550 MB for the gas of LACChain's blocks."""


def max_block_bytes(period_seconds: float) -> int:
    """Return the most bytes that the transactions of a block may have together in a network with this block period
    (seconds): `BLOCK_BYTES_PER_SECOND` for each second of the period, for one second at least, and `MAX_BLOCK_BYTES` at
    most."""
    return min(MAX_BLOCK_BYTES, int(BLOCK_BYTES_PER_SECOND * max(1.0, period_seconds)))


def estimated_log_bytes(topics: int, data: bytes) -> int:
    """Return about how many bytes a log with so many topics and this data takes in the memory of a node."""
    return LOG_BYTES + 32 * topics + len(data)
