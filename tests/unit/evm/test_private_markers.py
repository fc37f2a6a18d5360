"""The gas of GoQuorum's private transactions in a block: a new block sets it aside, a block of others need not."""

import pytest

from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.evm.engine import OpenBlock
from lacnode.evm.py_evm_engine import PyEvmEngine
from lacnode.evm.rejection import RejectionReason, TransactionRejectedError
from lacnode.primitives import rlp
from lacnode.primitives.transaction import Transaction, encode_signed_transaction
from tests.support.qbft_chain import draft, goquorum_node, qbft_node
from tests.support.rpc_chain import RICH, signed

BLOCK_GAS, MARKER_GAS = 300_000, 200_000


def private_marker(nonce: int = 0, gas: int = MARKER_GAS) -> Transaction:
    """A private transaction of GoQuorum: its signature is that of a transaction without a chain id."""
    public = signed(nonce=nonce, gas=gas, data=b"\x11" * 64, chain_id=None)
    fields = list(rlp.decode_list(public.raw, "transaction"))
    return Transaction.decode(encode_signed_transaction(0, fields[:6], public.v + 10, public.r, public.s))


def opened(*, is_new: bool) -> OpenBlock:
    """An open block of a GoQuorum chain. `is_new`: it is built here, and not checked."""
    chain = goquorum_node().chain
    engine = PyEvmEngine(chain.spec, DatabaseNodeStore(chain.database))
    header = draft(goquorum_node()).header.with_changes(gas_limit=BLOCK_GAS)
    return engine.open_block(chain.head.header.state_root, header, chain.hash_at, within_limits=is_new)


def test_a_new_block_has_no_room_for_the_gas_that_goquorums_nodes_count() -> None:
    block = opened(is_new=True)
    block.add(private_marker(), RICH.address)
    assert block.gas_left == BLOCK_GAS - MARKER_GAS
    for beyond in (signed(nonce=1, gas=100_001), private_marker(1, 100_001)):
        with pytest.raises(TransactionRejectedError) as rejected:
            block.add(beyond, RICH.address)
        assert rejected.value.reason is RejectionReason.EXCEEDS_BLOCK_GAS_LIMIT
    block.add(signed(nonce=1, gas=100_000), RICH.address)
    assert block.close().gas_used_by == (0, 21_000)


def test_a_block_of_others_may_be_fuller() -> None:
    """A party to the private transaction takes only a part of the gas, and its block is valid for all nodes."""
    block = opened(is_new=False)
    for nonce in range(3):
        block.add(private_marker(nonce), RICH.address)
    block.add(signed(nonce=3, gas=BLOCK_GAS), RICH.address)
    assert block.close().gas_used == 21_000


def test_a_marker_above_what_is_left_is_refused() -> None:
    with pytest.raises(TransactionRejectedError, match="the block has 300000 left"):
        opened(is_new=False).add(private_marker(gas=BLOCK_GAS + 1), RICH.address)


def test_the_pool_refuses_one_and_says_what_it_is() -> None:
    node = goquorum_node()
    with pytest.raises(TransactionRejectedError, match=r"v 3[78] marks a private transaction of GoQuorum") as rejected:
        node.send(private_marker())
    assert rejected.value.reason is RejectionReason.WRONG_CHAIN_ID
    # A transaction of a wrong chain is something else where there are no private transactions.
    with pytest.raises(TransactionRejectedError, match="chain") as rejected:
        qbft_node().send(private_marker())
    assert "GoQuorum" not in str(rejected.value)
