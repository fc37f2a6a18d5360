"""A real chain of GoQuorum: IBFT 1, a private transaction, and the switch to QBFT, verified and executed block by block."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.consensus.bft.header_rules import MIX_HASH
from lacnode.consensus.ibft1.extra_data import Ibft1ExtraData, decode_extra_data, encode_extra_data
from lacnode.consensus.ibft1.headers import ADD_NONCE
from lacnode.primitives.block import Block
from lacnode.primitives.header import BlockHeader
from tests.support.goquorum_chain import FIRST_OF_QBFT, empty_chain, exported_blocks

BLOCKS = exported_blocks()


def imported(last: int) -> Blockchain:
    chain = empty_chain()
    for block in BLOCKS[1 : last + 1]:
        assert chain.import_block(block)
    return chain


@pytest.mark.usefixtures("each_engine")
def test_the_whole_chain_is_imported() -> None:
    chain = imported(len(BLOCKS) - 1)
    assert chain.genesis_hash == BLOCKS[1].header.parent_hash
    assert [chain.hash_at(block.number) for block in BLOCKS[:-1]] == [block.header.parent_hash for block in BLOCKS[1:]]
    assert chain.head.header == BLOCKS[-1].header
    assert (chain.protocols.protocol_at(FIRST_OF_QBFT - 1).name, chain.protocols.protocol_at(FIRST_OF_QBFT).name) == (
        "ibft1",
        "qbft",
    )


def test_a_private_transaction_uses_up_the_nonce_and_nothing_more() -> None:
    chain = imported(FIRST_OF_QBFT)
    private = next(block for block in BLOCKS if any(t.v in (37, 38) for t in block.transactions))
    (record,) = chain.receipt_records_of(chain.hash_at(private.number) or b"") or ()
    assert (record.receipt.status, record.receipt.logs, private.header.gas_used) == (1, (), 0)
    public = next(block for block in BLOCKS if block.transactions)
    (deployed,) = chain.receipt_records_of(chain.hash_at(public.number) or b"") or ()
    assert record.sender == deployed.sender
    assert chain.state_at(private.header).nonce(record.sender) == 2


def test_coinbase_is_the_signer_of_the_proposer_seal() -> None:
    chain = imported(FIRST_OF_QBFT)
    public = next(block for block in BLOCKS if block.transactions)
    (deployed,) = chain.receipt_records_of(chain.hash_at(public.number) or b"") or ()
    assert deployed.created is not None
    stored = chain.state_at(public.header).storage(deployed.created, 0)
    assert public.header.coinbase == bytes(20)
    assert (
        stored.to_bytes(32)[12:] == chain.protocols.creator(public.header) == chain.validators_after(public.header)[0]
    )


def with_extra(header: BlockHeader, change: Callable[[Ibft1ExtraData], Ibft1ExtraData]) -> BlockHeader:
    return header.with_changes(extra_data=encode_extra_data(change(decode_extra_data(header.extra_data))))


HEADER = BLOCKS[2].header


@pytest.mark.parametrize(
    ("header", "rule"),
    [
        (HEADER.with_changes(difficulty=2), "difficulty"),
        (HEADER.with_changes(mix_hash=bytes(32)), "mix-hash"),
        (HEADER.with_changes(nonce=bytes(7) + b"\1"), "nonce"),
        (HEADER.with_changes(extra_data=b"\0" * 32), "extra-data"),
        (HEADER.with_changes(extra_data=HEADER.extra_data + b"\0"), "extra-data"),
        (with_extra(HEADER, lambda extra: replace(extra, proposer_seal=b"")), "extra-data"),
        (with_extra(HEADER, lambda extra: replace(extra, proposer_seal=b"\xff" * 65)), "extra-data"),
        # Another content has another hash, and the proposer seal is that of a stranger then.
        (HEADER.with_changes(coinbase=b"\1" * 20, nonce=ADD_NONCE), "coinbase"),
        (HEADER.with_changes(timestamp=HEADER.timestamp + 1), "coinbase"),
        (with_extra(HEADER, lambda extra: replace(extra, validators=(bytes(20),))), "coinbase"),
        (with_extra(HEADER, lambda extra: replace(extra, seals=())), "commit-seals"),
        (with_extra(HEADER, lambda extra: replace(extra, seals=extra.seals * 2)), "commit-seals"),
        (with_extra(HEADER, lambda extra: replace(extra, seals=(extra.proposer_seal,))), "commit-seals"),
    ],
)
def test_a_changed_header_is_refused_by_its_rule(header: BlockHeader, rule: str) -> None:
    chain = imported(1)
    with pytest.raises(BlockRefusedError) as refused:
        chain.import_block(Block(header, BLOCKS[2].body))
    assert refused.value.rule == rule
    assert chain.head.header.number == 1


def test_a_block_of_the_other_protocol_is_refused_at_the_switch() -> None:
    chain = imported(FIRST_OF_QBFT - 1)
    late = BLOCKS[FIRST_OF_QBFT - 1].header.with_changes(
        number=FIRST_OF_QBFT, parent_hash=chain.head.hash, timestamp=chain.head.header.timestamp + 5, mix_hash=MIX_HASH
    )
    with pytest.raises(BlockRefusedError, match="ibft1"):
        chain.import_block(Block(late, BLOCKS[1].body))
