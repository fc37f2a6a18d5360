"""The header of a simulated block, before and after its calls, with the fields of its fork."""

import hashlib

from lacnode.chainspec.forks import Fork
from lacnode.chainspec.spec import ChainSpec
from lacnode.evm.base_fee import next_base_fee
from lacnode.evm.engine import ExecutedBlock
from lacnode.primitives.bloom import EMPTY_BLOOM
from lacnode.primitives.header import BlockHeader
from lacnode.primitives.keccak import EMPTY_OMMERS_HASH, EMPTY_TRIE_ROOT
from lacnode.rpc.simulation.simulation_parameters import BlockOverrides

EMPTY_REQUESTS_HASH = hashlib.sha256(b"").digest()
"""The hash of no requests (EIP-7685)."""


def opening_header(
    spec: ChainSpec, parent: BlockHeader, parent_hash: bytes, block: BlockOverrides, *, validates: bool
) -> BlockHeader:
    """Return the header in whose environment the calls of `block` run, on `parent` with the hash `parent_hash` (32
    bytes). `block.number` and `block.timestamp` must be set: AssertionError if not.

    Each field that `block` does not override has a default: the parent's coinbase, difficulty and gas limit. The base
    fee is None before London, also if it is overridden. From London on its default is 0, or the one that follows from
    the parent if the calls are validated (`validates`).
    """
    assert block.number is not None
    assert block.timestamp is not None
    fork = spec.forks.fork_at(block.number, block.timestamp)
    is_cancun = fork >= Fork.CANCUN
    return BlockHeader(
        parent_hash=parent_hash,
        ommers_hash=EMPTY_OMMERS_HASH,
        coinbase=parent.coinbase if block.coinbase is None else block.coinbase,
        state_root=parent.state_root,
        transactions_root=EMPTY_TRIE_ROOT,
        receipts_root=EMPTY_TRIE_ROOT,
        logs_bloom=EMPTY_BLOOM,
        difficulty=parent.difficulty if block.difficulty is None else block.difficulty,
        number=block.number,
        gas_limit=parent.gas_limit if block.gas_limit is None else block.gas_limit,
        gas_used=0,
        timestamp=block.timestamp,
        extra_data=block.extra_data,
        mix_hash=block.mix_hash,
        nonce=bytes(8),
        base_fee=_base_fee(spec, parent, block, fork, validates=validates),
        withdrawals_root=EMPTY_TRIE_ROOT if fork >= Fork.SHANGHAI else None,
        blob_gas_used=0 if is_cancun else None,
        excess_blob_gas=0 if is_cancun else None,
        parent_beacon_block_root=bytes(32) if is_cancun else None,
        requests_hash=EMPTY_REQUESTS_HASH if fork >= Fork.PRAGUE else None,
    )


def _base_fee(
    spec: ChainSpec, parent: BlockHeader, block: BlockOverrides, fork: Fork, *, validates: bool
) -> int | None:
    if fork < Fork.LONDON:
        return None
    if block.base_fee is not None:
        return block.base_fee
    return next_base_fee(spec, parent, block.timestamp or 0) if validates else 0


def closing_header(header: BlockHeader, executed: ExecutedBlock, block: BlockOverrides) -> BlockHeader:
    """Return a copy of `header` with the roots, the bloom and the used gas of the `executed` block. An overridden state
    root of `block` replaces the real one."""
    closed = executed.complete_header(header)
    return closed if block.state_root is None else closed.with_changes(state_root=block.state_root)
