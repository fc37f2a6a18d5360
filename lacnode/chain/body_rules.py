"""What a block must keep its word on: its body, and what executing it gives (Besu's `MainnetBlockBodyValidator`).

Each rule has a name of its own. Must not execute anything.
"""

from lacnode.chain.refusal import BlockRefused
from lacnode.chainspec.forks import Fork
from lacnode.evm.engine import ExecutedBlock
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_TRIE_ROOT
from lacnode.primitives.ordered_root import ordered_root


def check_body(block: Block, fork: Fork) -> None:
    """BlockRefused unless `block` has the parts its fork knows and no others, no ommers or withdrawals, and the
    transactions that its header names."""
    if block.body.ommers:
        raise BlockRefused("ommers", f"{len(block.body.ommers)} ommers in a block of IBFT 2.0, which has none")
    _check_withdrawals(block, fork)
    header = block.header
    for rule, name, value, begins in (
        ("base-fee-presence", "base fee", header.base_fee, Fork.LONDON),
        ("blob-gas-presence", "blob gas used", header.blob_gas_used, Fork.CANCUN),
        ("blob-gas-presence", "excess blob gas", header.excess_blob_gas, Fork.CANCUN),
        ("beacon-root-presence", "parent beacon block root", header.parent_beacon_block_root, Fork.CANCUN),
        ("requests-presence", "requests hash", header.requests_hash, Fork.PRAGUE),
    ):
        if (value is not None) != (fork >= begins):
            text = f"{name} is missing from the header" if value is None else f"{name} before {begins.name.title()}"
            raise BlockRefused(rule, text)
    root = ordered_root([transaction.raw for transaction in block.transactions])
    if root != header.transactions_root:
        text = f"the header says {_shown(header.transactions_root)}, the transactions give {_shown(root)}"
        raise BlockRefused("transactions-root", text)


def check_outcome(header: BlockHeader, executed: ExecutedBlock) -> None:
    """BlockRefused where execution gave something else than `header` says."""
    for rule, stated, found in (
        ("gas-used", header.gas_used, executed.gas_used),
        ("receipts-root", header.receipts_root, executed.receipts_root),
        ("logs-bloom", header.logs_bloom, executed.logs_bloom),
        ("state-root", header.state_root, executed.state_root),
    ):
        if stated != found:
            raise BlockRefused(rule, f"the header says {_shown(stated)}, execution gives {_shown(found)}")


def _check_withdrawals(block: Block, fork: Fork) -> None:
    root, withdrawals = block.header.withdrawals_root, block.body.withdrawals
    if fork < Fork.SHANGHAI:
        if root is not None or withdrawals is not None:
            raise BlockRefused("withdrawals", "withdrawals before Shanghai")
    elif withdrawals or withdrawals is None:
        raise BlockRefused("withdrawals", "an empty list of withdrawals was expected")
    elif root != EMPTY_TRIE_ROOT:
        raise BlockRefused("withdrawals", "the withdrawals root is not that of an empty list")


def _shown(value: bytes | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "0x" + value.hex() if len(value) <= 32 else f"{len(value)} bytes beginning 0x{value[:16].hex()}"
