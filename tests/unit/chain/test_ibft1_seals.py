"""How many commit seals a block of IBFT 1 needs: 2f+1 before `ceil2Nby3Block`, ceil(2n/3) from it on (GoQuorum's rule)."""

from collections.abc import Mapping
from typing import Any

import pytest

from lacnode.chain.block_errors import BlockRefusedError
from lacnode.chain.blockchain import Blockchain
from lacnode.chain.chain_store import DatabaseNodeStore
from lacnode.chainspec.genesis import parse_genesis
from lacnode.primitives.block import Block
from lacnode.storage.memory_database import MemoryDatabase
from tests.support.engines import engine
from tests.support.goquorum_network import goquorum_genesis
from tests.support.ibft1_chain import empty_blocks, ibft1_keys

SWITCH = 3


def ibft1_chain(validators: int, config: Mapping[str, Any]) -> Blockchain:
    keys = ibft1_keys(validators)
    spec = parse_genesis(goquorum_genesis("ibft1", [key.address for key in keys], config))
    database = MemoryDatabase()
    return Blockchain(spec, database, engine(spec, DatabaseNodeStore(database)))


def blocks(chain: Blockchain, validators: int, *seals: int) -> list[Block]:
    """Blocks from number 1 on with so many seals each."""
    return list(empty_blocks(chain.genesis.header, ibft1_keys(validators), len(seals), lambda at: seals[at - 1]))


@pytest.mark.parametrize(
    ("config", "validators", "before", "after"),
    [
        ({"istanbul": {"ceil2Nby3Block": SWITCH}}, 1, 1, 1),
        # With three validators f is 0, and one of them agreed alone.
        ({"istanbul": {"ceil2Nby3Block": SWITCH}}, 3, 1, 2),
        ({"istanbul": {"ceil2Nby3Block": SWITCH}}, 4, 3, 3),
        ({"istanbul": {"ceil2Nby3Block": SWITCH}}, 6, 3, 4),
        ({"ibft": {"ceil2Nby3Block": SWITCH}}, 5, 3, 4),
        # GoQuorum's defaults: the section `ibft` begins at block 0, and the section `istanbul` never.
        ({"ibft": {}}, 3, 2, 2),
        ({"istanbul": {}}, 3, 1, 1),
    ],
)
def test_the_least_seals_by_height(config: dict[str, Any], validators: int, before: int, after: int) -> None:
    chain = ibft1_chain(validators, config)
    needed = [before, before, after, after]
    for block in blocks(chain, validators, *needed):
        few = list(needed[: block.number])
        few[-1] -= 1
        with pytest.raises(BlockRefusedError, match=rf"{few[-1]} commit seals where {needed[block.number - 1]} are"):
            chain.import_block(blocks(chain, validators, *few)[-1])
        assert chain.import_block(block)


def test_the_refusal_names_the_key_of_the_genesis_file() -> None:
    chain = ibft1_chain(3, {"ibft": {}})
    with pytest.raises(BlockRefusedError, match="ceil2Nby3Block") as refused:
        chain.import_block(blocks(chain, 3, 1)[0])
    assert refused.value.rule == "commit-seals"
