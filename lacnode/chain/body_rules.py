"""What a block must keep its word on: its body, and what executing it gives (Besu's `MainnetBlockBodyValidator`).

Each rule has a name of its own. Must not execute anything.
"""

from collections.abc import Iterator

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chainspec.forks import Fork
from lacnode.evm.engine import ExecutedBlock
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.primitives.ordered_root import transactions_root


def check_body(block: Block, fork: Fork) -> None:
    """BlockRefusedError unless `block` has the parts its fork knows and no others, no ommers or withdrawals, and the
    transactions that its header names.

    Headers of Besu 25.5 end with the base fee in every fork from London on. From Shanghai on an empty list of withdrawals
    is accepted, and with it blob gas of 0 from Cancun on: Besu 24.2 to 24.5.1 made such blocks.
    """
    if block.body.ommers:
        raise BlockRefusedError("ommers", f"{len(block.body.ommers)} ommers in a block of IBFT 2.0, which has none")
    _check_withdrawals(block, fork)
    header = block.header
    if (header.base_fee is not None) != (fork >= Fork.LONDON):
        text = "base fee is missing from the header" if header.base_fee is None else "base fee before London"
        raise BlockRefusedError("base-fee-presence", text)
    _check_blob_gas(header, fork)
    for rule, name, value in (
        ("beacon-root-presence", "parent beacon block root", header.parent_beacon_block_root),
        ("requests-presence", "requests hash", header.requests_hash),
    ):
        if value is not None:
            raise BlockRefusedError(rule, f"{name} in the header of a block of IBFT 2.0, which has none")
    root = transactions_root(block.transactions)
    if root != header.transactions_root:
        text = f"the header says {_shown(header.transactions_root)}, the transactions give {_shown(root)}"
        raise BlockRefusedError("transactions-root", text)


def is_outcome(header: BlockHeader, executed: ExecutedBlock) -> bool:
    """Whether execution gave what `header` says."""
    return all(stated == found for _, stated, found in _outcome(header, executed))


def check_outcome(header: BlockHeader, executed: ExecutedBlock) -> None:
    """BlockRefusedError where execution gave something else than `header` says."""
    for rule, stated, found in _outcome(header, executed):
        if stated != found:
            raise BlockRefusedError(rule, f"the header says {_shown(stated)}, execution gives {_shown(found)}")


def _outcome(header: BlockHeader, executed: ExecutedBlock) -> Iterator[tuple[str, bytes | int, bytes | int]]:
    """A rule, what the header says and what execution gave, for all that a header says of execution."""
    yield "gas-used", header.gas_used, executed.gas_used
    yield "receipts-root", header.receipts_root, executed.receipts_root
    yield "logs-bloom", header.logs_bloom, executed.logs_bloom
    yield "state-root", header.state_root, executed.state_root


def _check_withdrawals(block: Block, fork: Fork) -> None:
    root, withdrawals = block.header.withdrawals_root, block.body.withdrawals
    if root is None and withdrawals is None:
        return
    if fork < Fork.SHANGHAI:
        raise BlockRefusedError("withdrawals", "withdrawals before Shanghai")
    # Besu would pay what a list says, and no stake stands behind it: a proposer could make money out of nothing.
    if withdrawals != ():
        raise BlockRefusedError("withdrawals", "no withdrawals, or an empty list, were expected")
    if root != EMPTY_TRIE_ROOT:
        raise BlockRefusedError("withdrawals", "the withdrawals root is not that of an empty list")


def _check_blob_gas(header: BlockHeader, fork: Fork) -> None:
    used, excess = header.blob_gas_used, header.excess_blob_gas
    if used is None and excess is None:
        return
    if fork < Fork.CANCUN:
        raise BlockRefusedError("blob-gas-presence", "blob gas before Cancun")
    if (used, excess) != (0, 0):
        raise BlockRefusedError(
            "blob-gas", f"blob gas used {used}, in excess {excess}: blocks of IBFT 2.0 have no blobs"
        )


def _shown(value: bytes | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "0x" + value.hex() if len(value) <= 32 else f"{len(value)} bytes beginning 0x{value[:16].hex()}"
