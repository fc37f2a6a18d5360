"""The rules for a body, and for the results of its execution (Besu's `MainnetBlockBodyValidator`).

Each rule has its own name. This file must not execute anything.
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
    """Return if the body fits the header and the fork. Raises BlockRefusedError otherwise.

    There must be no ommers and no withdrawals, and the transactions must give the root in the header. The header must
    have a base fee from London on, and none before. As in the headers of Besu 25.5, it must have no later field. Two
    exceptions follow the blocks that Besu 24.2 to 24.5.1 made: an empty list of withdrawals with its root from Shanghai
    on, and blob gas of 0 from Cancun on.
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
    # The root is the most expensive rule, so it is the last one.
    root = transactions_root(block.transactions)
    if root != header.transactions_root:
        text = f"the header says {_short_text(header.transactions_root)}, the transactions give {_short_text(root)}"
        raise BlockRefusedError("transactions-root", text)


def check_gas_prices_are_zero(block: Block) -> None:
    """Return if no transaction has a gas price above 0. Raises BlockRefusedError otherwise: GoQuorum refuses such a
    block."""
    for index, transaction in enumerate(block.transactions):
        if transaction.max_gas_price:
            raise BlockRefusedError(
                "gas-price",
                f"transaction {index} has the gas price {transaction.max_gas_price}, but only 0 is allowed here",
            )


def outcome_matches(header: BlockHeader, executed: ExecutedBlock) -> bool:
    """Whether the results of the execution (gas, receipts, bloom, state) are those of `header`. `check_outcome` names
    the difference."""
    return all(stated == found for _, stated, found in _results(header, executed))


def check_outcome(header: BlockHeader, executed: ExecutedBlock) -> None:
    """Return if the results of the execution (gas, receipts, bloom, state) are those of `header`. Raises
    BlockRefusedError at the first difference. The text has both values."""
    for rule, stated, found in _results(header, executed):
        if stated != found:
            raise BlockRefusedError(
                rule, f"the header says {_short_text(stated)}, execution gives {_short_text(found)}"
            )


def _results(header: BlockHeader, executed: ExecutedBlock) -> Iterator[tuple[str, bytes | int, bytes | int]]:
    """Every result that a header names: the rule, the value in the header, and the value of the execution."""
    # From the most telling to the least: a wrong state root alone does not show what went wrong.
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
    # Besu would pay the amounts in the list, and no stake covers them: a proposer could create money.
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


def _short_text(value: bytes | int) -> str:
    if isinstance(value, int):
        return str(value)
    return "0x" + value.hex() if len(value) <= 32 else f"{len(value)} bytes beginning 0x{value[:16].hex()}"
