"""Contracts at blocks of IBFT 1: COINBASE is the creator of the block, as for its transactions, and not the coinbase."""

import math

import pytest

from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_contracts import ChainContracts
from lacnode.evm.budget import UNLIMITED
from lacnode.permissioning.transaction_call import UnsignedTransaction
from tests.support.ibft1_chain import RETURNS_COINBASE, chain_with_contracts, creator_of, ibft1_keys, next_block
from tests.support.rpc_chain import RICH

KEYS = ibft1_keys(4)
PLACE = b"\x77" * 20
CREATOR = creator_of(1, KEYS).address.rjust(32, b"\0")


@pytest.fixture
def chain() -> Blockchain:
    """One block behind the genesis."""
    chain = chain_with_contracts(KEYS, {PLACE: RETURNS_COINBASE})
    assert chain.import_block(next_block(chain, KEYS))
    return chain


def test_permissioning_contracts_see_the_creator(chain: Blockchain) -> None:
    reader = ChainContracts(chain.spec, chain._engine, chain.hash_at)
    assert reader.read(PLACE, b"", chain.head.header, math.inf).output == CREATOR


def test_a_simulated_change_is_made_in_a_block_of_the_last_creator(chain: Blockchain) -> None:
    """Nothing says who creates the next block."""
    changed = chain.simulate(UnsignedTransaction(to=PLACE, gas_limit=100_000), RICH.address, UNLIMITED)
    assert changed.succeeded
    assert changed.reader.read(PLACE, b"", changed.header, math.inf).output == CREATOR
