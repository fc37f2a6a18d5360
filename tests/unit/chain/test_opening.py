"""A chain opens its database: the genesis is stored once, and another network's data are refused."""

import pytest

from lacnode.chain.block_errors import WrongGenesisError
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.chain_genesis import KEYS, PAYER, genesis
from tests.support.chain_network import network


class TestOpening:
    def test_stores_the_genesis_once(self) -> None:
        database = MemoryDatabase()
        first, again = network(database=database), network(database=database)
        assert first.chain.genesis_hash == again.chain.genesis_hash == first.chain.head.hash
        assert again.chain.block_at(0) == first.chain.genesis
        assert again.chain.state_at(again.chain.head.header).balance(PAYER.address) == 10**21

    def test_goes_on_where_it_was(self) -> None:
        database = MemoryDatabase()
        network(database=database).grow()
        assert network(database=database).chain.head.header.number == 1

    def test_refuses_another_networks_data(self) -> None:
        database = MemoryDatabase()
        network(database=database)
        with pytest.raises(WrongGenesisError, match="another network"):
            network(genesis(KEYS[:1]), database)
