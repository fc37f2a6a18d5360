"""A stored block of which a part is gone is damage with a name, and never "there is no such block"."""

import pytest

from lacnode.chain.chain_store import BODIES, HEADERS, NUMBERS, OUTCOMES, STATE, DatabaseNodeStore
from lacnode.evm.merkle_trie import MissingNodeError
from lacnode.storage.storage_errors import DamagedValueError
from tests.support.chain_network import Network, network, sealed
from tests.support.chain_transactions import Offer, transaction


@pytest.fixture
def grown() -> Network:
    made = network()
    made.grow([Offer(transaction(0))])
    made.grow()
    return made


def lose(grown: Network, table: str, key: bytes) -> None:
    with grown.database.write() as batch:
        batch.delete(table, key)


def test_a_missing_number_is_named(grown: Network) -> None:
    lose(grown, NUMBERS, (1).to_bytes(8))
    with pytest.raises(DamagedValueError, match="table numbers under key 0x0000000000000001 is missing"):
        grown.chain.header_at(1)
    assert grown.chain.header_at(3) is None


@pytest.mark.parametrize("table", [HEADERS, BODIES])
def test_a_missing_part_of_a_block_is_named(grown: Network, table: str) -> None:
    hash_ = grown.chain.hash_at(1)
    assert hash_ is not None
    lose(grown, table, hash_)
    with pytest.raises(DamagedValueError, match=f"table {table} under key 0x{hash_.hex()} is missing"):
        grown.chain.block_at(1)


def test_missing_receipts_are_named(grown: Network) -> None:
    hash_ = grown.chain.hash_at(1)
    assert hash_ is not None
    lose(grown, OUTCOMES, hash_)
    with pytest.raises(DamagedValueError, match="table outcomes"):
        grown.chain.encoded_receipts_of(hash_)
    assert grown.chain.encoded_receipts_of(bytes(32)) is None


def test_no_block_is_made_or_taken_on_a_state_with_a_hole(grown: Network) -> None:
    other = network()
    for number in (1, 2):
        block = grown.chain.block_at(number)
        assert block is not None
        other.chain.import_block(block)
    block = sealed(grown.build([Offer(transaction(1))]), grown.chain)
    root = other.chain.head.header.state_root
    lose(other, STATE, root)
    fresh = network(database=other.database)
    with pytest.raises(DamagedValueError, match="table state") as caught:
        fresh.chain.import_block(block)
    assert isinstance(caught.value, MissingNodeError)
    with pytest.raises(DamagedValueError):
        fresh.build([Offer(transaction(1))])


def test_state_that_is_asked_for_and_gone_counts_as_unavailable(grown: Network) -> None:
    with pytest.raises(MissingNodeError, match="lacnode database verify"):
        DatabaseNodeStore(grown.database).get(bytes(32))
